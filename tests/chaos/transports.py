"""Engine.IO, the client's side: long-polling or a WebSocket, with the heartbeat of either.

Lives here: moving Socket.IO packets. What they say is the speaker's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from tests.chaos.names import HEARTBEAT_SECONDS

ENDED = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""What a connection may end with."""
Take = Callable[[str], None]
_OPEN_SECONDS = 10.0
_WEBSOCKET_CLOSE = aiohttp.ClientWSTimeout(ws_close=0.5)
_OVER = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


class Ended(ConnectionError):
    """The gateway has closed the connection."""


class Transport:
    """One open connection: what is sent leaves in order, what comes goes to `take`."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._heartbeat = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.beat()

    def send(self, packet: str) -> None:
        """Send a packet."""
        self._outgoing.put_nowait(packet)

    def beat(self) -> None:
        """The gateway has pinged: it is given another interval and its timeout."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEARTBEAT_SECONDS, self._miss)

    def receive(self, packet: str) -> None:
        """Take one Engine.IO packet. Raises Ended, or what the speaker makes of it."""
        if packet == "2":
            self.beat()
            self.send("3")
        elif packet == "1":
            raise Ended("closed by the gateway")
        elif packet[:1] == "4":
            self._take(packet)

    async def ended(self) -> None:
        """Wait for the end. Raises one of ENDED."""
        await asyncio.wait({*self._tasks, self._heartbeat}, return_when=asyncio.FIRST_COMPLETED)
        for task in (*self._tasks, self._heartbeat):
            if task.done():
                task.result()

    def begin(self, *work: object) -> None:
        """Run the transport's own work until `close`."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(one) for one in work]  # type: ignore[arg-type]

    async def next_outgoing(self) -> str:
        return await self._outgoing.get()

    async def close(self) -> None:
        """Stop working; nothing is said to the gateway here."""
        if self._timer is not None:
            self._timer.cancel()
        self._heartbeat.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            for task in self._tasks:
                if not task.cancelled():
                    task.exception()

    def _miss(self) -> None:
        if not self._heartbeat.done():
            self._heartbeat.set_exception(TimeoutError("ping timeout"))


@asynccontextmanager
async def converse(
    http: aiohttp.ClientSession, address: str, name: str, take: Take
) -> AsyncIterator[Transport]:
    """An open connection. Raises one of ENDED where there is none to be had."""
    url = f"{address}/socket.io/?EIO=4&transport={name}"
    opening = _websocket if name == "websocket" else _polling
    transport = Transport(take)
    try:
        async with opening(http, url, transport):
            yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def _websocket(
    http: aiohttp.ClientSession, url: str, transport: Transport
) -> AsyncIterator[None]:
    async with asyncio.timeout(_OPEN_SECONDS):
        socket = await http.ws_connect(
            url, timeout=_WEBSOCKET_CLOSE, max_msg_size=0, autoclose=False
        )

    async def read() -> None:
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                # As browsers and Node.js answer: with the code that they were sent. aiohttp's own
                # answer has another one, as if it had closed by itself at the same moment.
                await socket.close(code=message.data)
            if message.type in _OVER or message.type is aiohttp.WSMsgType.ERROR:
                raise Ended(f"WebSocket closed: {socket.close_code}")
            transport.receive(message.data)

    async def write() -> None:
        while True:
            await socket.send_str(await transport.next_outgoing())

    try:
        transport.begin(read(), write())
        yield
    finally:
        await transport.close()
        await socket.close()


@asynccontextmanager
async def _polling(
    http: aiohttp.ClientSession, url: str, transport: Transport
) -> AsyncIterator[None]:
    async with asyncio.timeout(_OPEN_SECONDS):
        first = (await _text(http.get(url)))[1:]
    session_url = f"{url}&sid={json.loads(first)['sid']}"

    async def read() -> None:
        while True:
            for packet in (await _text(http.get(session_url))).split("\x1e"):
                transport.receive(packet)

    async def write() -> None:
        while True:
            await _text(http.post(session_url, data=await transport.next_outgoing()))

    transport.begin(read(), write())
    yield


async def _text(request: object) -> str:
    async with request as answer:  # type: ignore[attr-defined]  # aiohttp's request context
        text: str = await answer.text()
        if answer.status != 200:
            raise Ended(f"HTTP {answer.status}: {text[:80]}")
        return text
