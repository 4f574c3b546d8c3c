"""A client in the test's own hand: every byte it writes and every frame it is answered.

Lives here: TCP, HTTP heads and WebSocket frames as a server writes them. What is right is said by
the tests.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.processes import close_writer
from tests.waiting import PATIENCE_SECONDS
from tests.websocket_frames import BINARY, CLOSE, PING, TEXT, client_close, client_frame

HOST = "127.0.0.1"
ENGINE_IO = "/engine.io/?EIO=4&transport=websocket"
SOCKET_IO = "/socket.io/?EIO=4&transport=websocket"

ABNORMAL = 1006
"""The close code of a connection that ended without a close frame."""
NO_STATUS = 1005


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


Frame = tuple[int, bytes]
"""Opcode and payload of a whole, unmasked frame."""


class Wire:
    """One TCP connection. Every wait has a deadline, and nothing is read that was not asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, *parts: bytes) -> None:
        """Send parts, each in a TCP segment of its own as far as the kernel lets us."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            if len(parts) > 1:
                await asyncio.sleep(0)

    async def send(self, message: str | bytes) -> None:
        """Send one WebSocket message."""
        if isinstance(message, str):
            await self.write(client_frame(TEXT, message.encode()))
        else:
            await self.write(client_frame(BINARY, message))

    def half_close(self) -> None:
        """Send the end of the stream, and go on reading."""
        self._writer.write_eof()

    def hold_little(self, most_bytes: int) -> None:
        """Let the kernel hold so much at most of what was not read yet, however fast that is."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, most_bytes)

    def reset(self) -> None:
        """Vanish: the server's kernel is told, but no frame says goodbye."""
        linger_for_nothing = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing)
        self._writer.transport.abort()

    async def response(self) -> Response:
        """Read one HTTP answer with its body, as its Content-Length has it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head.decode().strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(status_line.split()[1]), headers, body)

    async def frame(self) -> Frame:
        """Read one frame. A server neither masks nor, here, fragments."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, second = await self._reader.readexactly(2)
            assert first & 0xF0 == 0x80, "no fragment, no reserved bit"
            assert second < 0x80, "no mask"
            size = second
            if second > 125:
                size = int.from_bytes(await self._reader.readexactly(2 if second == 126 else 8))
            return first & 0x0F, await self._reader.readexactly(size)

    async def message(self) -> str | bytes:
        """Read one text or binary message; nothing else may come before it."""
        opcode, payload = await self.frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return payload.decode() if opcode == TEXT else payload

    async def packet(self) -> str | bytes:
        """Read the next message that is no heartbeat; a heartbeat is answered."""
        while (message := await self.message()) == "2":
            await self.send("3")
        return message

    async def messages_to_the_end(self) -> tuple[list[str | bytes], int]:
        """Read what comes until the server ends the connection, and its close code.

        The server's close frame is answered, as a client should.
        """
        messages: list[str | bytes] = []
        code = ABNORMAL
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    code = int.from_bytes(payload[:2]) if payload else NO_STATUS
                    await self.write(client_close(code) if payload else client_frame(CLOSE))
                elif opcode != PING:
                    messages.append(payload.decode() if opcode == TEXT else payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            return messages, code

    async def closed(self) -> int:
        """Wait for the end, past whatever still comes, and return the close code."""
        return (await self.messages_to_the_end())[1]

    async def ended(self) -> bytes:
        """Wait for the end of the stream and return what came before it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    @property
    def _socket(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found


def request(
    target: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    method: str = "GET",
    version: str = "HTTP/1.1",
    body: bytes = b"",
) -> bytes:
    """Write an HTTP request; only what is given is in it, and Host."""
    lines = [f"{method} {target} {version}", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def upgrade_headers(**changed: str | None) -> list[tuple[str, str]]:
    """Give the headers of a proper handshake, with some of them other or, where None, missing."""
    headers: dict[str, str | None] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return [(name, value) for name, value in headers.items() if value is not None]


@asynccontextmanager
async def wired(port: int) -> AsyncIterator[Wire]:
    """Open a TCP connection, for the length of an `async with`."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 22)
    try:
        yield Wire(reader, writer)
    finally:
        await close_writer(writer)


@asynccontextmanager
async def websocket(port: int, target: str = ENGINE_IO) -> AsyncIterator[Wire]:
    """Open a WebSocket; the server has accepted it, and its first frame is still to be read."""
    async with wired(port) as wire:
        await wire.write(request(target, upgrade_headers()))
        response = await wire.response()
        assert response.status == 101, response
        yield wire
