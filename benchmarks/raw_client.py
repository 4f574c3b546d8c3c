"""A WebSocket client reduced to its bytes: what no client library would send, or leave unread."""

from __future__ import annotations

UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CONTINUATION, PING = 0x1, 0x0, 0x9


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """Write a client's frame of up to 64 KiB; a mask of zeros leaves the payload as it is."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2)
    return bytes([opcode | (0x80 if is_last else 0)]) + length + bytes(4) + payload
