"""A WebSocket of a client: the handshake, and frames with as little as a correct server needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

_HANDSHAKE = (
    "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: gateway\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocketClient(asyncio.Protocol):
    """One connection; what it brings goes to callbacks, and nothing comes after `on_lost`."""

    def __init__(
        self, sid: str, on_text: Callable[[str], None], on_lost: Callable[[str], None]
    ) -> None:
        """`sid` is the Engine.IO session that is upgraded, empty for a new one."""
        self._query = f"&sid={sid}" if sid else ""
        self._on_text = on_text
        self._on_lost = on_lost
        self._is_open = False
        self._is_over = False
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_HANDSHAKE.format(query=self._query).encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_open:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._end(f"refused: {head.splitlines()[0].decode()} {rest[:80].decode()}")
                return
            self._is_open, self._received = True, rest
        while not self._is_over and (frame := self._next_frame()) is not None:
            self._handle(*frame)

    def eof_received(self) -> None:
        self._end("closed by the gateway")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "closed"))

    def send(self, packet: str) -> None:
        """Send one text message."""
        self._write(_TEXT, packet.encode())

    def close(self, reason: str) -> None:
        """Give the connection up, as a client does that has not heard of the server."""
        self._end(reason)

    def _write(self, kind: int, payload: bytes) -> None:
        if self._is_over or self._transport.is_closing():
            return
        size = len(payload)
        # Masked with zeros: a mask is required, what it is does not matter.
        if size < 126:
            head = bytes((0x80 | kind, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2)
        else:
            head = bytes((0x80 | kind, 0x80 | 127)) + size.to_bytes(8)
        self._transport.write(head + b"\0\0\0\0" + payload)

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size > 125:
            length = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + length]), 2 + length
        if len(data) < at + size:
            return None
        self._received = data[at + size :]
        return data[0] & 15, data[at : at + size]

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind == _TEXT:
            self._on_text(payload.decode())
        elif kind == _PING:
            self._write(_PONG, payload)
        elif kind == _CLOSE:
            # As browsers and Node.js answer: with the code that they were sent.
            self._write(_CLOSE, payload[:2])
            self._end(f"closed with {int.from_bytes(payload[:2])}")

    def _end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._transport.close()
            self._on_lost(reason)
