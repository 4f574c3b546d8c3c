"""A proxy's process, what it answers, and how it is given a new configuration."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import aiohttp

from tests.processes import HOST, unused_port
from tests.waiting import eventually

PATIENCE_SECONDS = 30.0
_BIN = Path(sys.executable).parent
_END_SECONDS = 5.0
_RELOAD_SECONDS = 2.0


def start(folder: Path, program: str | Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a program of the test dependencies, or at a path; its log goes into `folder`."""
    with (folder / "proxy.log").open("wb") as log:
        return subprocess.Popen(
            [_BIN / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End what has been started, and its workers: they outlive a master that is killed."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def ask(url: str) -> str:
    """Give what is answered; nothing where nobody answers, or not with 200."""
    try:
        async with aiohttp.request("GET", url, ssl=False) as answer:  # nobody signs for a test
            return await answer.text() if answer.status == 200 else ""
    except aiohttp.ClientError:
        return ""


class Configure(Protocol):
    """Write a configuration whose `/configured` answers the version."""

    def __call__(self, *, port: int, version: int, pod_ports: Sequence[int]) -> str: ...


class Reloaded:
    """A proxy that has its endpoints in a file, which it reads again at a signal.

    The workers of before the reload keep the WebSockets that they have.
    """

    def __init__(
        self,
        file: Path,
        command: Sequence[str | Path],
        reload: signal.Signals,
        configure: Configure,
    ) -> None:
        self.port = unused_port()
        self._file = file
        self._command = command
        self._reload = reload
        self._configure = configure
        self._version = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def route_to(self, pod_ports: Sequence[int]) -> None:
        self._version += 1
        text = self._configure(port=self.port, version=self._version, pod_ports=pod_ports)
        self._file.write_text(text, "utf-8")
        if self._process is None:
            program, *arguments = self._command
            self._process = start(self._file.parent, program, *arguments)
            await eventually(self._is_configured, PATIENCE_SECONDS, "the proxy answers")
        else:
            await eventually(self._is_reloaded, PATIENCE_SECONDS, "the proxy has its endpoints")

    def stop(self) -> None:
        end(self._process)

    async def _is_reloaded(self) -> bool:
        """Signal, and say whether that was heard: HAProxy's master ignores it in its first moment.

        One too many is another reload.
        """
        assert self._process is not None, "started"
        self._process.send_signal(self._reload)
        try:
            await eventually(self._is_configured, _RELOAD_SECONDS, "the proxy has reloaded")
        except AssertionError:
            return False
        return True

    async def _is_configured(self) -> bool:
        return await ask(f"http://{HOST}:{self.port}/configured") == str(self._version)
