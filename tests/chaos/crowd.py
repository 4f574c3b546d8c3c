"""The clients: socket.io-client under Node.js, and python-socketio's, which takes no liberties.

Lives here: opening them and collecting their stories. What they should have got is `verdict`'s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import socketio

from tests.chaos.verdict import Story
from tests.processes import REPOSITORY, node_executable

WEBSOCKET = {"transports": ["websocket"]}
ASKS = {"auth": {"recovery": True}}
QUICK = {"reconnectionDelay": 200, "reconnectionDelayMax": 1000}
KINDS: dict[str, dict[str, Any]] = {
    "asks for recovery, WebSocket": {**QUICK, **WEBSOCKET, **ASKS},
    "unchanged, WebSocket": {**QUICK, **WEBSOCKET},
    # Cookies keep polling requests on one pod; Node.js sends them only when it is told to.
    "asks for recovery, upgrading": {**QUICK, **ASKS, "withCredentials": True},
    "asks for recovery, polling": {
        **QUICK, **ASKS, "withCredentials": True, "transports": ["polling"],
    },
}  # fmt: skip
STRICT = "python-socketio, strict"
_EVENTS = ("new-message", "new-chat", "user-status", "notice")


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects, and how."""

    name: str
    kind: str
    user: str
    rooms: tuple[str, ...]
    url: str


class NodeCrowd:
    """Clients in one Node.js process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._clients: dict[str, Client] = {}

    def open(self, client: Client) -> None:
        """Begin to connect one."""
        self._clients[client.name] = client
        self._send(
            op="open", name=client.name, url=client.url, user=client.user,
            rooms=client.rooms, options=KINDS[client.kind],
        )  # fmt: skip

    async def settled(self) -> int:
        """How many are connected and in their rooms."""
        return int(await self._ask(op="connected"))

    async def lacking(self, number: int) -> list[str]:
        """Who has not got this event."""
        return list(await self._ask(op="lacking", number=number))

    async def stories(self) -> list[Story]:
        """What each has gone through."""
        dump = await self._ask(op="dump")
        return [self._story(one["name"], one["entries"]) for one in dump]

    def _story(self, name: str, entries: list[Any]) -> Story:
        client = self._clients[name]
        return Story(name, client.kind, client.user, frozenset(client.rooms), entries)

    def _send(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _ask(self, **command: object) -> Any:
        self._send(**command)
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def node_crowd() -> AsyncIterator[NodeCrowd]:
    """A crowd without clients; they leave with it."""
    script = str(REPOSITORY / "tests" / "js" / "crowd.mjs")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node_executable(), script, stdin=pipe, stdout=pipe, limit=1 << 28
    )
    try:
        yield NodeCrowd(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class StrictClient(socketio.AsyncClient):  # type: ignore[misc]  # python-socketio is untyped
    """A python-socketio client with `def handler(data)`: one more argument would raise."""

    def __init__(self, client: Client, now_ms: Callable[[], int]) -> None:
        # A session of ours: its own are left open where an attempt to reconnect fails.
        self._http = aiohttp.ClientSession()
        super().__init__(reconnection_delay=0.2, reconnection_delay_max=1, http_session=self._http)
        self._client = client
        self._now_ms = now_ms
        self._entries: list[Any] = []
        self._pending = set(client.rooms)
        self._extra_arguments = 0
        for event in _EVENTS:
            self.on(event, self._hear, namespace="/chats")
        self.on("connect", self._join_all, namespace="/chats")
        self.on("disconnect", self._lost, namespace="/chats")

    @property
    def is_settled(self) -> bool:
        return "/chats" in self.namespaces and not self._pending

    @property
    def story(self) -> Story:
        client = self._client
        return Story(
            client.name, client.kind, client.user, frozenset(client.rooms), self._entries,
            self._extra_arguments,
        )  # fmt: skip

    def has(self, number: int) -> bool:
        return number in self._entries

    async def begin(self) -> None:
        """Connect."""
        await self.connect(
            self._client.url,
            namespaces=["/chats"],
            auth={"userId": self._client.user},
            transports=["websocket"],
            retry=True,
        )

    async def leave(self) -> None:
        """Disconnect for good."""
        await self.disconnect()
        await self._http.close()

    def _hear(self, data: dict[str, Any]) -> None:
        self._entries.append(data["timestamp"])

    async def _join_all(self) -> None:
        self._entries.append(["connect", self._now_ms(), False])
        self._pending = set(self._client.rooms)
        for room in self._client.rooms:
            self.start_background_task(self._join, room)

    async def _join(self, room: str) -> None:
        while "/chats" in self.namespaces and room in self._pending:
            try:
                ack = await self.call("join-chat", {"chatId": room}, namespace="/chats", timeout=3)
            except socketio.exceptions.SocketIOError:
                continue
            if ack["success"]:
                self._pending.discard(room)
                self._entries.append(["joined", self._now_ms(), room])

    def _lost(self, reason: str) -> None:
        self._entries.append(["lost", self._now_ms(), reason])

    async def _handle_event(self, namespace: str, id: int | None, data: list[Any]) -> None:
        self._extra_arguments += len(data) > 2
        await super()._handle_event(namespace, id, data)
