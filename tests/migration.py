"""The application of examples/migrate, and Caddy in front of it as docs/migrate.md sets it up.

Lives here: starting them from the files of the example and the commands of the page. What clients
should notice of it is said by the test.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.balancer import caddy_executable
from tests.processes import HOST, REPOSITORY, node_executable, tcp_stream, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

EXAMPLE = REPOSITORY / "examples" / "migrate"
PAGE = REPOSITORY / "docs" / "migrate.md"
# What the servers import is installed once, for the tests.
PACKAGES = REPOSITORY / "tests" / "js" / "migrate"
_COMMAND = re.compile(r'^SOCKET_IO="(.+)" API=(\S+) caddy (run|reload)\b', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the page: which servers Caddy leads to from then on."""

    socket_io: str
    api: str
    command: str


def printed_steps() -> list[Step]:
    """The commands of the page, in their order."""
    return [Step(*found) for found in _COMMAND.findall(PAGE.read_text("utf-8"))]


@asynccontextmanager
async def example_server(folder: Path, side: str, **environment: str) -> AsyncIterator[int]:
    """The server of one side, `before` or `after`, which listens; gives its port."""
    home = folder / side
    shutil.copytree(EXAMPLE / side, home, ignore=shutil.ignore_patterns("node_modules"))
    (home / "node_modules").symlink_to(PACKAGES / "node_modules")
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), "server.mjs"),
        cwd=home,
        env=os.environ | environment | {"PORT": str(port)},
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.stdout.readline() == b"listening\n"
        yield port
    finally:
        process.kill()
        await process.wait()


class Entry:
    """Caddy with the example's Caddyfile: the one address of all clients."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        """`ports` are those of this test, by the ones that the page prints."""
        self.port = unused_port()
        self.url = f"http://{HOST}:{self.port}"
        self._admin_port = unused_port()
        self._folder = folder
        self._ports = ports
        self._process: asyncio.subprocess.Process | None = None

    async def carry_out(self, step: Step) -> None:
        """Run a command of the page, and return once it is in effect."""
        process = await self._caddy(step)
        if step.command == "run":
            self._process = process
            await eventually(self._listens, PATIENCE_SECONDS, "Caddy listens")
        else:
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await process.wait() == 0, self._log.read_text("utf-8")

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "caddy.log"

    async def _caddy(self, step: Step) -> asyncio.subprocess.Process:
        home = {name: str(self._folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        own = {"ADMIN": f"{HOST}:{self._admin_port}", "PORT": str(self.port)}
        servers = {"SOCKET_IO": self._here(step.socket_io), "API": self._here(step.api)}
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(caddy_executable(), step.command, "--config", str(EXAMPLE / "Caddyfile")),
                env=os.environ | home | own | servers,
                stdout=log,
                stderr=log,
            )

    def _here(self, printed: str) -> str:
        return re.sub(r"\S+?:(\d+)", lambda found: f"{HOST}:{self._ports[found[1]]}", printed)

    async def _listens(self) -> bool:
        try:
            async with tcp_stream(self.port):
                return True
        except OSError:
            return False


@asynccontextmanager
async def entry(folder: Path, ports: Mapping[str, int]) -> AsyncIterator[Entry]:
    """An entry that runs from its first step on."""
    one = Entry(folder, ports)
    try:
        yield one
    finally:
        await one.stop()
