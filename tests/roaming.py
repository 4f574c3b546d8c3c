"""An Engine.IO client whose every request goes to the pod that a test names.

Lives here: polling, the upgrade step by step, and what came. Behind a load balancer chance decides
which pod it is; what is right is said by the tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.processes import Gateway
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

NOOP, PING, PONG = "6", "2", "3"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request was answered."""

    status: int
    text: str

    @property
    def code(self) -> str:
        """The stable word of a refusal."""
        return str(json.loads(self.text)["data"]["code"])

    @property
    def packets(self) -> list[str]:
        """What a poll has brought."""
        assert self.status == 200, self
        return self.text.split("\x1e")


class Roamer:
    """One session of one client."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.sid = ""
        self.heard: list[str | bytes] = []
        """All messages, in the order in which they came, by either transport."""
        self.pings = 0
        self.close_code: int | None = None
        """Of the WebSocket, once it is closed."""
        self.answer: dict[str, str] = {}
        """What CONNECT was answered."""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._requests = 0

    # Polling

    async def open(self, pod: Gateway) -> None:
        """Open a session."""
        answer = await self.ask("GET", pod)
        assert answer.status == 200, answer
        self.sid = json.loads(answer.text[1:])["sid"]

    async def ask(self, method: str, pod: Gateway, body: str | bytes | None = None) -> Answer:
        """Send one request."""
        query = {"EIO": "4", "transport": "polling"} | ({"sid": self.sid} if self.sid else {})
        url = f"{pod.http_url}/socket.io/"
        async with self._http.request(method, url, params=query, data=body) as answer:
            return Answer(answer.status, await answer.text())

    async def poll(self, pod: Gateway) -> list[str]:
        """Fetch packets, and keep the messages among them."""
        packets = (await self.ask("GET", pod)).packets
        for packet in packets:
            self._note(packet)
        return packets

    async def post(self, pod: Gateway, *packets: str) -> None:
        """Bring packets, which must be taken."""
        answer = await self.ask("POST", pod, "\x1e".join(packets))
        assert (answer.status, answer.text) == (200, "ok"), answer

    def begin_to_poll(self, *pods: Gateway) -> None:
        """Poll for ever, at one pod after the other, until `upgrade`."""
        self._polling = asyncio.create_task(self._poll(pods))

    async def _poll(self, pods: tuple[Gateway, ...]) -> None:
        number = 0
        while True:
            packets = await self.poll(pods[number % len(pods)])
            number += 1
            if PING in packets:
                await self.post(pods[number % len(pods)], PONG)
            if NOOP in packets:
                return

    # Upgrading

    async def probe(self, pod: Gateway) -> None:
        """Open a WebSocket and let it be answered that it works."""
        url = f"{pod.http_url}/socket.io/?EIO=4&transport=websocket&sid={self.sid}"
        self._socket = socket = await self._http.ws_connect(
            url, autoping=True, max_msg_size=1 << 24
        )
        await socket.send_str("2probe")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await socket.receive_str() == "3probe"

    async def upgrade(self, pod: Gateway) -> None:
        """Go over to a WebSocket, as the JavaScript client does: behind the last poll."""
        await self.probe(pod)
        if self._polling is not None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._polling
        await self.finish_upgrade()

    async def finish_upgrade(self) -> None:
        """Say that the WebSocket is it from now on, and read it."""
        assert self._socket is not None
        await self._socket.send_str("5")
        self._reading = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.heard.append(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                if message.data == PING:
                    self.pings += 1
                    await socket.send_str(PONG)
                self._note(message.data)
        self.close_code = socket.close_code or 1006

    def _note(self, packet: str) -> None:
        if packet.startswith("4"):
            self.heard.append(packet[1:])
        elif packet.startswith("b"):
            self.heard.append(packet)
        else:
            assert packet in (NOOP, PING, "1"), packet

    # Socket.IO

    async def send(self, packet: str) -> None:
        """Send a packet over the WebSocket."""
        assert self._socket is not None
        await self._socket.send_str(packet)

    async def connect(self, pod: Gateway, user: str, **auth: object) -> None:
        """Connect to the namespace, by polling."""
        await self.post(pod, connect_packet(user, **auth))
        while not self._take_answer():
            await self.poll(pod)

    async def connected(self) -> None:
        """Wait until CONNECT is answered."""
        await eventually(self._take_answer, PATIENCE_SECONDS, "CONNECT is answered")

    def _take_answer(self) -> bool:
        for message in self.heard:
            if isinstance(message, str) and message.startswith("0/chats,"):
                self.answer = json.loads(message.partition(",")[2])
        return bool(self.answer)

    async def request(self, event: str, *arguments: object) -> dict[str, Any]:
        """Send a request over the WebSocket, and wait for its answer."""
        number = await self.begin_request(event, *arguments)
        return await self.answered(number)

    async def begin_request(self, event: str, *arguments: object) -> int:
        """Send a request over the WebSocket; gives the number of its answer."""
        packet = self.request_packet(event, *arguments)
        await self.send(packet)
        return self._requests

    def request_packet(self, event: str, *arguments: object) -> str:
        """Write the next request."""
        self._requests += 1
        return f"42/chats,{self._requests}{json.dumps([event, *arguments])}"

    async def answered(self, number: int) -> dict[str, Any]:
        """Wait for the answer to a request."""
        prefix = f"3/chats,{number}["

        def find() -> list[str]:
            return [one for one in self.heard if isinstance(one, str) and one.startswith(prefix)]

        (answer, *more) = await eventually(find, PATIENCE_SECONDS, f"request {number} is answered")
        assert more == []
        (said,) = json.loads(answer[len(prefix) - 1 :])
        found: dict[str, Any] = said
        return found

    @property
    def events(self) -> list[list[Any]]:
        """The events that came: name and arguments."""
        prefix = "2/chats,"
        texts = [one for one in self.heard if isinstance(one, str) and one.startswith(prefix)]
        return [json.loads(one[len(prefix) :]) for one in texts]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the `new-message` events that came."""
        return [int(event[1]["messageId"]) for event in self.events if event[0] == "new-message"]

    # The end

    async def closed(self) -> int:
        """Wait for the end of the WebSocket, and give its close code."""
        await eventually(
            lambda: self.close_code is not None, PATIENCE_SECONDS, "the WebSocket is closed"
        )
        assert self.close_code is not None
        return self.close_code

    async def leave(self) -> None:
        """Hang up."""
        if self._socket is not None:
            await self._socket.close()
        await cancelled([task for task in (self._reading, self._polling) if task is not None])


def connect_packet(user: str, **auth: object) -> str:
    """Write the packet that connects a user to the namespace."""
    return f"40/chats,{json.dumps({'userId': user} | auth)}"


@asynccontextmanager
async def roaming() -> AsyncIterator[Roamer]:
    """Have one client, for the length of an `async with`."""
    timeout = aiohttp.ClientTimeout(total=2 * PATIENCE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        client = Roamer(http)
        try:
            yield client
        finally:
            await client.leave()
