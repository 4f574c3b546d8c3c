"""Clients of the demo load: Socket.IO on bare WebSockets and polls, so that they can misbehave.

Some resume, one does not read, some poll, some do not say who they are. All come back for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import Callable

import aiohttp

from constellation_ws.cli.local import LocalEndpoint

Where = Callable[[], LocalEndpoint | None]
"""Gives a pod that takes clients, None while there is none."""

_NAMESPACE = "/chats"
_LOST = (aiohttp.ClientError, OSError, TimeoutError)
_AGAIN_SECONDS = 0.3
_TRIES = 20
_LEAVES_AFTER_EVENTS = (100, 400)
_ASLEEP_SECONDS = 20.0
_DEAF_BYTES = 4_096
_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Client:
    """One user's client that joins a chat and, when its connection ends, resumes."""

    def __init__(self, http: aiohttp.ClientSession, user: str, chat: str, where: Where) -> None:
        self._http, self._user, self._chat, self._where = http, user, chat, where
        self._pid = self._offset = ""
        self.events = 0

    async def run(self) -> None:
        """Connect, again and again."""
        while True:
            place = self._where()
            if place is not None:
                with contextlib.suppress(*_LOST):
                    await self._visit(place)
            await asyncio.sleep(_AGAIN_SECONDS * (0.5 + random.random()))

    async def _visit(self, place: LocalEndpoint) -> None:
        """Stay for as long as the connection, or until it is lost on the way: that is by lot."""
        last = self.events + random.randint(*_LEAVES_AFTER_EVENTS)
        url = f"{place.url}/socket.io/?EIO=4&transport=websocket"
        async with self._http.ws_connect(url, max_msg_size=0) as websocket:
            await self._listen(websocket, last)

    async def _listen(self, websocket: aiohttp.ClientWebSocketResponse, last: int) -> None:
        async for message in websocket:
            if message.type is aiohttp.WSMsgType.TEXT:
                answer = self.hear(message.data)
                if answer:
                    await websocket.send_str(answer)
            if self.events > last:
                return

    def hear(self, packet: str) -> str:
        """Take a packet; give what is to be said, if anything."""
        head, _, rest = packet.partition(",")
        match head[:2], head:
            case "2", _:
                return "3"
            case _, _ if packet.startswith("0{"):
                return f"40{_NAMESPACE},{json.dumps(self._claim())}"
            case "40", _:
                welcome = json.loads(rest)
                is_resumed = bool(self._pid) and welcome.get("pid") == self._pid
                self._pid = welcome.get("pid", "")
                # A resumed session has its rooms.
                return "" if is_resumed else self._join()
            case "42", _:
                self._count(json.loads(rest))
        return ""

    def _claim(self) -> dict[str, object]:
        claim: dict[str, object] = {"userId": self._user, "recovery": True}
        return claim | ({"pid": self._pid, "offset": self._offset} if self._pid else {})

    def _join(self) -> str:
        return f'42{_NAMESPACE},0["join-chat",{json.dumps({"chatId": self._chat})}]'

    def _count(self, event: list[object]) -> None:
        self.events += 1
        if isinstance(event[-1], str):
            self._offset = event[-1]


class PollingClient(Client):
    """One that gets its events by long-polling."""

    async def _visit(self, place: LocalEndpoint) -> None:
        url = f"{place.url}/socket.io/?EIO=4&transport=polling"
        last = self.events + random.randint(*_LEAVES_AFTER_EVENTS)
        session = ""
        while self.events <= last:
            async with self._http.get(url + session) as answer:
                if answer.status != 200:
                    return
                text = await answer.text()
            for packet in text.split("\x1e"):
                if packet.startswith("0{"):
                    session = f"&sid={json.loads(packet[1:])['sid']}"
                said = self.hear(packet)
                if said:
                    async with self._http.post(url + session, data=said) as answer:
                        await answer.read()


class RoamingClient(Client):
    """One with the default options of socket.io-client, behind a balancer that is not sticky."""

    async def _visit(self, place: LocalEndpoint) -> None:
        last = self.events + random.randint(*_LEAVES_AFTER_EVENTS)
        (opened,) = await self._request(place, "")
        session = f"&sid={json.loads(opened[1:])['sid']}"
        await self._request(self._any(place), session, self.hear(opened))
        for packet in await self._request(self._any(place), session):
            said = self.hear(packet)
            if said:
                await self._request(self._any(place), session, said)
        url = f"{self._other(place).url}/socket.io/?EIO=4&transport=websocket{session}"
        async with self._http.ws_connect(url, max_msg_size=0) as websocket:
            await websocket.send_str("2probe")
            await websocket.receive()
            await websocket.send_str("5")
            await self._listen(websocket, last)

    def _any(self, place: LocalEndpoint) -> LocalEndpoint:
        return self._where() or place

    def _other(self, place: LocalEndpoint) -> LocalEndpoint:
        """Give another pod, where there is one, so that the session moves."""
        found = (self._where() for _ in range(_TRIES))
        return next((one for one in found if one is not None and one != place), place)

    async def _request(self, place: LocalEndpoint, session: str, said: str = "") -> list[str]:
        """Send packets, or poll for them. Raises aiohttp.ClientError where it is refused."""
        url = f"{place.url}/socket.io/?EIO=4&transport=polling{session}"
        method = "POST" if said else "GET"
        async with self._http.request(method, url, data=said or None) as answer:
            answer.raise_for_status()
            return (await answer.text()).split("\x1e")


async def sleep_on(user: str, where: Where) -> None:
    """Connect as a user, again and again, and read nothing of what comes."""
    while True:
        place = where()
        if place is not None:
            with contextlib.suppress(*_LOST):
                await _fall_asleep(user, place)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _fall_asleep(user: str, place: LocalEndpoint) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DEAF_BYTES)
    deaf.setblocking(False)
    with deaf:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (place.host, place.ws_port))
        claim = json.dumps({"userId": user})
        await loop.sock_sendall(deaf, _UPGRADE + _text(f"40{_NAMESPACE},{claim}"))
        await asyncio.sleep(_ASLEEP_SECONDS)


def _text(message: str) -> bytes:
    """Write a short text frame; a mask of zeros leaves the text as it is."""
    return bytes([0x81, 0x80 | len(message)]) + bytes(4) + message.encode()


async def knock(http: aiohttp.ClientSession, where: Where) -> None:
    """Come without a name, every other second, and be refused."""
    while True:
        place = where()
        if place is not None:
            with contextlib.suppress(*_LOST):
                url = f"{place.url}/socket.io/?EIO=4&transport=websocket"
                async with http.ws_connect(url) as websocket:
                    await websocket.receive_str()
                    await websocket.send_str(f"40{_NAMESPACE},{{}}")
                    await websocket.receive()
        await asyncio.sleep(2)
