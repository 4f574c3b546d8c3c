"""All clients of a run: socket.io-client's under Node.js, and our own.

Lives here: opening them, and collecting their stories. What they should have got is `verdict`'s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.clients import Client
from tests.chaos.speaker import Speaker
from tests.chaos.story import Entry, Story
from tests.processes import REPOSITORY, node_executable

JS = REPOSITORY / "tests" / "js"
_QUICK: dict[str, Any] = {"reconnectionDelay": 200, "reconnectionDelayMax": 1000}
# Cookies keep polling requests on one pod; Node.js sends them only when it is told to.
_OPTIONS: dict[str, dict[str, Any]] = {
    "websocket": {"transports": ["websocket"]},
    "upgrading": {"withCredentials": True},
    "polling": {"withCredentials": True, "transports": ["polling"]},
}


@dataclass(frozen=True, slots=True)
class Record:
    """What one client of Node.js wrote down; times are in milliseconds."""

    client: Client
    opened: int
    """When it began to connect."""
    entries: list[Entry]
    transports: list[tuple[int, str]]
    """What each connection began on, and what it was upgraded to, or why not."""
    errors: list[tuple[int, str]]
    """Each `connect_error`."""

    @property
    def story(self) -> Story:
        return self.client.story(self.entries)


class NodeCrowd:
    """Clients in one Node.js process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._clients: dict[str, Client] = {}

    def open(self, client: Client) -> None:
        """Begin to connect one."""
        self.open_with(client, _QUICK | _OPTIONS[client.kind.transport])

    def open_with(
        self, client: Client, options: Mapping[str, Any], release: str | None = None
    ) -> None:
        """Begin to connect one with these options of socket.io-client, of that release."""
        self._clients[client.name] = client
        auth = {"auth": {"recovery": True}} if client.kind.has_offsets else {}
        self._send(
            op="open", name=client.name, url=f"{client.address}/chats", user=client.user,
            rooms=client.rooms, options={**options, **auth}, release=release,
        )  # fmt: skip

    async def settled(self) -> int:
        """How many are connected and in their rooms."""
        return int(await self._ask(op="connected"))

    async def upgraded(self) -> int:
        """How many are connected by a WebSocket."""
        return int(await self._ask(op="upgraded"))

    async def lacking(self, *numbers: int) -> list[str]:
        """Who has not got all of these events."""
        return list(await self._ask(op="lacking", numbers=numbers))

    async def records(self) -> list[Record]:
        """What each has written down."""
        dump = await self._ask(op="dump")
        return [Record(client=self._clients[one.pop("name")], **one) for one in dump]

    async def stories(self) -> list[Story]:
        """What each has gone through."""
        return [record.story for record in await self.records()]

    def _send(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _ask(self, **command: object) -> Any:
        self._send(**command)
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def node_crowd(releases: Path = JS) -> AsyncIterator[NodeCrowd]:
    """A crowd without clients; they leave with it. `releases` has other socket.io-clients."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node_executable(), JS / "crowd.mjs", releases, stdin=pipe, stdout=pipe, limit=1 << 28
    )
    try:
        yield NodeCrowd(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class Crowd:
    """Clients of both kinds. Made by `crowd`."""

    def __init__(
        self, node: NodeCrowd, clients: Sequence[Client], now_ms: Callable[[], int]
    ) -> None:
        originals = [client for client in clients if client.kind.is_original]
        self._node = node
        self._count = len(originals)
        self.speakers = [
            Speaker(client, now_ms) for client in clients if not client.kind.is_original
        ]
        for client in originals:
            node.open(client)

    async def run(self) -> None:
        """Let our own clients live, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for speaker in self.speakers:
                group.create_task(speaker.run())

    async def restless(self, spare_rooms: Sequence[str], chance: Random, pause: float) -> None:
        """Let one busy client after the other join a room, or leave it again; until cancelled."""
        busy = [speaker for speaker in self.speakers if speaker.client.rooms]
        while busy:
            await asyncio.sleep(pause)
            chance.choice(busy).toggle(chance.choice(spare_rooms))

    async def settled(self) -> bool:
        """Whether everybody is connected, and in the rooms that it wants."""
        return all(one.is_settled for one in self.speakers) and (
            await self._node.settled() == self._count
        )

    async def lacking(self, numbers: Iterable[int]) -> list[str]:
        """Who has not got all of these events."""
        wanted = set(numbers)
        ours = [one.client.name for one in self.speakers if not wanted <= one.numbers]
        return [*ours, *await self._node.lacking(*wanted)]

    async def stories(self) -> list[Story]:
        """What everybody has gone through."""
        return [*(speaker.story for speaker in self.speakers), *await self._node.stories()]


@asynccontextmanager
async def crowd(clients: Sequence[Client], now_ms: Callable[[], int]) -> AsyncIterator[Crowd]:
    """Clients that connect now."""
    async with node_crowd() as node:
        gathered = Crowd(node, clients, now_ms)
        living = asyncio.get_running_loop().create_task(gathered.run())
        try:
            yield gathered
        finally:
            living.cancel()
            await asyncio.wait([living])
            if not living.cancelled():
                living.result()
