"""Node services that emit through Redis: by `@socket.io/redis-emitter`, or as a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from tests.processes import HOST, REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS

SCRIPT = REPOSITORY / "tests" / "js" / "emitter" / "service.mjs"

UNDEFINED = {"$undefined": 1}


def in_bytes(size: int) -> dict[str, int]:
    """Stand for a Buffer of so many sevens."""
    return {"$bytes": size}


def in_date(milliseconds: int) -> dict[str, int]:
    """Stand for a Date."""
    return {"$date": milliseconds}


class NodeService:
    """The Node process; one command at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.port = 0
        """Of a server, where its clients connect."""

    @property
    def chats_url(self) -> str:
        return f"http://{HOST}:{self.port}/chats"

    async def chats(self, *chain: list[Any]) -> Any:
        """Call methods one behind the other on the namespace; give what the last one answers."""
        return await self.call(["of", "/chats"], *chain)

    async def call(self, *chain: list[Any]) -> Any:
        """Call methods one behind the other, and wait until Redis has what was published."""
        self._stdin.write(json.dumps(chain).encode() + b"\n")
        said = await self.said()
        assert "error" not in said, said["error"]
        return said["answer"]

    async def mark(self, user: str, mark: str) -> None:
        """Send a mark behind everything else."""
        await self.chats(["to", f"user:{user}"], ["emit", "mark", mark])

    async def said(self) -> dict[str, Any]:
        """The next line that it prints."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            said: dict[str, Any] = json.loads(await self._stdout.readline())
        return said


@asynccontextmanager
async def node_service(
    redis_url: str, kind: Literal["emitter", "server"] = "emitter"
) -> AsyncIterator[NodeService]:
    """A service; it ends at the end of its input."""
    process = await asyncio.create_subprocess_exec(
        node_executable(),
        str(SCRIPT),
        kind,
        redis_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        service = NodeService(process)
        service.port = (await service.said())["port"]
        yield service
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
