"""The header of one frame that a client sends, with the checks that need no other frame.

Not here: the order of frames, and their payload (parser).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from constellation_ws.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LAST,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    TEXT,
    CloseCode,
)

MASKED: Final = 0x80
_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_RESERVED_BITS: Final = 0x70


class Violation(Exception):
    """Why the connection must fail; is caught in this package."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Header(NamedTuple):
    """One frame's header, as it was read.

    A tuple and not a dataclass: quicker to make, and made for every frame.
    """

    opcode: int
    is_last: bool
    payload_bytes: int
    mask: bytes
    payload_at: int


def read_header(data: bytes, at: int) -> Header | None:
    """Read the header that begins at `at`; None if it is not complete."""
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    opcode, is_last, size = first & 0x0F, first >= LAST, second & 0x7F
    _check_start(first, second)
    at += 2
    if size > 125:
        length_bytes, smallest = (2, 126) if size == 126 else (8, 1 << 16)
        size = int.from_bytes(data[at : at + length_bytes])
        at += length_bytes
        if len(data) >= at and not smallest <= size < 1 << 63:
            raise protocol_error("a length is not in its shortest form, or out of range")
    if len(data) < at + 4:
        return None
    return Header(opcode, is_last, size, data[at : at + 4], at + 4)


def _check_start(first: int, second: int) -> None:
    opcode = first & 0x0F
    if first & _RESERVED_BITS:
        raise protocol_error("reserved bits are set")
    if opcode not in _OPCODES:
        raise protocol_error("an opcode is reserved")
    if second < MASKED:
        raise protocol_error("a frame is not masked")
    if opcode >= CLOSE and first < LAST:
        raise protocol_error("a control frame is fragmented")
    if opcode >= CLOSE and second > MASKED | MAX_CONTROL_BYTES:
        raise protocol_error("a control frame is too long")


def protocol_error(reason: str) -> Violation:
    """Return the violation of a rule of RFC 6455."""
    return Violation(CloseCode.PROTOCOL_ERROR, reason)
