"""Constants of RFC 6455, and the frames that a server writes: unmasked, unfragmented.

Not here: reading frames (parser), and what the payloads mean.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

MAX_CONTROL_BYTES: Final = 125

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA
LAST: Final = 0x80
"""The bit of a frame that ends its message."""

_SMALL_BYTES: Final = 126
_MEDIUM_BYTES: Final = 1 << 16
_MEDIUM_HEADER: Final = struct.Struct("!BBH")
_MEDIUM_TEXT: Final = struct.Struct("!HH")
_TEXT_START: Final = (LAST | TEXT) << 8 | 126
_LARGE_HEADER: Final = struct.Struct("!BBQ")


class CloseCode(IntEnum):
    """The registered codes that a server uses; a client may send others."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """Stands for an empty close frame. It is never sent."""
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may have this code.

    Below 3000 these are the codes of IANA's registry, except those that are never sent (1004 to
    1006, 1015); 3000 to 3999 are for libraries, 4000 to 4999 for applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def text_frame(payload: bytes) -> bytes:
    """Build the frame of one text message. The payload must be UTF-8."""
    size = len(payload)
    if _SMALL_BYTES <= size < _MEDIUM_BYTES:  # the size of events; one call less on the hot path
        return _MEDIUM_TEXT.pack(_TEXT_START, size) + payload
    return _frame(LAST | TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """Build the frame of one binary message."""
    return _frame(LAST | BINARY, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """Build a ping. Raises ValueError above 125 bytes."""
    return _control_frame(LAST | PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """Build a pong. Raises ValueError above 125 bytes."""
    return _control_frame(LAST | PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Build a close frame; NO_STATUS makes an empty one, so that any received code can be echoed.

    A reason above 123 bytes is cut between characters. Raises ValueError for a code that may not be
    sent.
    """
    if code == CloseCode.NO_STATUS:
        return _control_frame(LAST | CLOSE, b"")
    if not may_be_sent(code):
        raise ValueError(f"{code} may not be sent in a close frame")
    cut = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return _control_frame(LAST | CLOSE, code.to_bytes(2) + cut.encode())


def _control_frame(first: int, payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_BYTES:
        raise ValueError(f"a control frame holds at most {MAX_CONTROL_BYTES} bytes")
    return _frame(first, payload)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _SMALL_BYTES:
        return bytes((first, size)) + payload
    if size < _MEDIUM_BYTES:
        return _MEDIUM_HEADER.pack(first, 126, size) + payload
    return _LARGE_HEADER.pack(first, 127, size) + payload
