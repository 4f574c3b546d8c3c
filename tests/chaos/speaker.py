"""A Socket.IO client of our own: what socket.io-client does, at a cost that lets a hundred run.

Lives here: packets, heartbeats, resuming, joining, and the story of it. How packets travel is
`transports`'. It behaves like socket.io-client 4.8, its stale offset after a new session included;
events that were replayed on a connection that then broke it forgets, where the original keeps them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp

from tests.chaos.clients import Client
from tests.chaos.story import Entry, Story
from tests.chaos.transports import ENDED, converse

_ACK_SECONDS = 3.0
_LOOK_SECONDS = 0.5
_DELAYS_SECONDS = (0.1, 0.3, 0.6, 1.0)


class Closed(ConnectionError):
    """The gateway ended the connection, or refused it."""


class Outgoing(Protocol):
    """Where packets leave."""

    def send(self, packet: str) -> None:
        """Send a packet."""


class Speaker:
    """One client. `run` connects it, again and again, until cancelled."""

    def __init__(self, client: Client, now_ms: Callable[[], int]) -> None:
        self.client = client
        self._now_ms = now_ms
        self._entries: list[Entry] = []
        self._wanted = set(client.rooms)
        self._joined: set[str] = set()
        self._pid: str | None = None
        self._offset: str | None = None
        self._presented: str | None = None
        """The pid that was presented on this connection."""
        self._may_get_offsets = client.kind.has_offsets
        self._early: list[tuple[int, int, str | None]] = []
        """When, which event, and its offset: replayed before the gateway answers."""
        self._asked: dict[int, tuple[str, str, float]] = {}
        self._ids = itertools.count(1)
        self._transport: Outgoing | None = None
        self._is_banned = False
        self.is_connected = False
        self.numbers: set[int] = set()
        """What it has received, ever."""

    @property
    def is_settled(self) -> bool:
        """Whether it is connected, and in the rooms that it wants and in no other."""
        return self.is_connected and self._joined == self._wanted

    @property
    def story(self) -> Story:
        return self.client.story(self._entries)

    def toggle(self, room: str) -> None:
        """Want to be in a room, or no more. Ignored while something is still to be done."""
        if self.is_settled:
            self._wanted ^= {room}

    async def run(self) -> None:
        """Connect, listen, and come back for as long as the gateway does not send it away."""
        attempt = 0
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of the load balancer, which is an IP address
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=jar, timeout=limits
        ) as http:
            # aiohttp sends any GET again whose connection is reset: that the answer to a poll was
            # lost, and what was in it, would go unnoticed.
            http._retry_connection = False
            while not self._is_banned:
                attempt = min(attempt + 1, len(_DELAYS_SECONDS))
                try:
                    await self._connection(http)
                except ENDED as error:
                    if self._lost(error):
                        attempt = 1
                await asyncio.sleep(_DELAYS_SECONDS[attempt - 1] * random.uniform(0.5, 1.5))

    async def _connection(self, http: aiohttp.ClientSession) -> None:
        kind = self.client.kind
        async with converse(http, self.client.address, kind.transport, self._take) as transport:
            self._transport = transport
            rooms = asyncio.get_running_loop().create_task(self._keep_rooms())
            try:
                transport.send(f"40/chats,{self._connect_payload()}")
                await transport.ended()
            finally:
                rooms.cancel()

    def _connect_payload(self) -> str:
        return json.dumps(self._auth())

    def _auth(self) -> dict[str, object]:
        auth: dict[str, object] = {"userId": self.client.user}
        if self.client.kind.has_offsets:
            auth["recovery"] = True
        self._presented = self._pid if self.client.kind.can_resume else None
        if self._presented is not None:
            auth["pid"] = self._presented
            self._may_get_offsets = True
            if self._offset is not None:
                auth["offset"] = self._offset
        return auth

    # What comes

    def _take(self, packet: str) -> None:
        """Take one Socket.IO packet. Raises Closed where it ends the connection."""
        kind, _, text = packet.partition("/chats")
        text = text.removeprefix(",")
        if kind == "40":
            self._connected(json.loads(text))
        elif kind == "42":
            self._event(json.loads(text))
        elif kind == "43":
            number, _, arguments = text.partition("[")
            self._answered(int(number), *json.loads(f"[{arguments}"))
        elif kind in ("41", "44"):
            self._is_banned = True  # socket.io-client never comes back after this
            self._write("wrong", f"sent away for good: {packet}")
            raise Closed(packet)
        else:
            self._write("wrong", f"an unknown packet: {packet[:80]}")

    def _connected(self, answer: dict[str, str]) -> None:
        pid = answer.get("pid")
        is_recovered = pid is not None and pid == self._presented
        early, self._early = self._early, []
        for ms, number, offset in early:
            self._receive(ms, number, offset)
        self._write("connect", answer["sid"], pid, is_recovered)
        if not is_recovered:
            self._joined.clear()
        self._pid = pid
        self.is_connected = True

    def _event(self, arguments: list[Any]) -> None:
        number = arguments[1]["timestamp"]
        has_offset = len(arguments) == 3 and isinstance(arguments[2], str)
        if len(arguments) != 2 + has_offset or has_offset > self._may_get_offsets:
            self._write("wrong", f"arguments that nobody asked for: {arguments[2:]}")
        if self.client.kind.has_offsets and not has_offset:
            self._write("wrong", f"an event without an offset: {number}")
        offset = arguments[2] if has_offset else None
        if self.is_connected:
            self._receive(self._now_ms(), number, offset)
        else:
            self._early.append((self._now_ms(), number, offset))

    def _receive(self, ms: int, number: int, offset: str | None) -> None:
        self._entries.append(["event", ms, number])
        self.numbers.add(number)
        self._offset = offset or self._offset

    def _answered(self, number: int, answer: Any = None, *rest: object) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        what, room, _ = asked
        if not isinstance(answer, dict) or rest:
            self._write("wrong", f"no answer to {what}-chat: {answer!r}")
        elif not answer["success"]:
            self._write("refused", room, answer["error"]["code"])
        elif what == "join":
            self._joined.add(room)
            self._write("joined", room)
        else:
            self._joined.discard(room)
            self._write("left", room)

    def _lost(self, error: Exception) -> bool:
        """Take note that the connection is gone; say whether there was one."""
        was_connected = self.is_connected
        if was_connected:
            self._write("lost", f"{type(error).__name__}: {error}"[:120])
        self.is_connected, self._transport = False, None
        self._early.clear()
        self._asked.clear()
        return was_connected

    # Rooms

    async def _keep_rooms(self) -> None:
        """Ask for the rooms that are wanted, and again where there is no answer."""
        while True:
            if self.is_connected:
                self._ask_for_rooms(asyncio.get_running_loop().time())
            await asyncio.sleep(_LOOK_SECONDS)

    def _ask_for_rooms(self, now: float) -> None:
        waiting = {room for _, room, until in self._asked.values() if now < until}
        for room in self._wanted - self._joined - waiting:
            self._ask("join", room, now)
        for room in self._joined - self._wanted - waiting:
            self._ask("leave", room, now)

    def _ask(self, what: str, room: str, now: float) -> None:
        assert self._transport is not None, "there is a connection"
        number = next(self._ids)
        self._asked[number] = (what, room, now + _ACK_SECONDS)
        self._write("ask", what, room)
        self._transport.send(f'42/chats,{number}["{what}-chat",{json.dumps({"chatId": room})}]')

    def _write(self, what: str, *words: object) -> None:
        self._entries.append([what, self._now_ms(), *words])
