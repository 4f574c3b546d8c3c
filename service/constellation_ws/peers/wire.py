"""The bytes between two pods: frames of many streams on one connection. Pure.

A frame is its length (4 bytes, big-endian, of what follows), its kind (1 byte), its stream (4
bytes) and a payload. Streams are numbered by the pod that has connected; 0 is the link itself.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

import msgspec

VERSION = 1
"""Pods of another version get no links, so that a release may change all of this."""
MAX_GREETING_BYTES = 512
"""Maximum size of a frame before the greeting is complete."""
MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEAD = Struct(">IBI")
_LENGTH_BYTES = 4
_REST_BYTES = _HEAD.size - _LENGTH_BYTES


class Kind(IntEnum):
    """Kind of a frame. It is sent by the pod that has connected (>), or by the other one (<)."""

    CHALLENGE = 1
    """< A random number to sign."""
    PROOF = 2
    """> Both instances, and a signature."""
    WELCOME = 3
    """< The signature of the other pod."""
    PING = 4
    PONG = 5
    REQUEST = 10
    """> An HTTP request of a polling client, see ForwardedRequest."""
    RESPONSE = 11
    """< The response to it, see ForwardedResponse."""
    CANCEL = 12
    """> The client has disconnected."""
    FINISH = 13
    """> The poll should end: this pod stops."""
    OPEN = 20
    """> A WebSocket for a session, by its ID."""
    ACCEPT = 21
    """< Its handshake is accepted."""
    REFUSE = 22
    """< Its handshake is refused: the session is unknown."""
    DATA = 23
    """Bytes of the WebSocket, in both directions."""
    END = 24
    """Close the WebSocket once all is written (<), or it is closed (>). The reply is END."""
    ABORT = 25
    """< Close it without sending what is buffered."""
    HOLD = 26
    """< Stop reading from the client for now."""
    GO_ON = 27
    """< Read again."""
    FULL = 28
    """> More is buffered for the client than should be."""
    DRAINED = 29
    """> Not any more."""
    OFFER = 30
    """< The session may move. No bytes of the client may follow until KEEP."""
    TAKE = 31
    """> It is accepted. All that the client has sent so far is before this frame. The payload is
    the number of the offer on this stream, as the reply may cross the KEEP of an offer
    withdrawn."""
    DECLINE = 32
    """> It has to stay; bytes of the client follow again. The payload is as with TAKE."""
    SESSION = 33
    """< The session. From now on the other pod holds it, and the stream ends."""
    KEEP = 34
    """< The session stays. Bytes of the client may follow again."""
    CLOSE = 35
    """> Close the session as a drain does: this pod stops."""


class Framed(NamedTuple):
    """One frame."""

    kind: int
    stream: int
    payload: bytes


class FramingFault(ValueError):
    """Received data is not of this protocol, or a frame is too large."""


UNREADABLE = (FramingFault, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading a frame or its payload may raise. Text that is not UTF-8 and arrays that are nested
too deeply raise no MsgspecError."""


class ForwardedRequest(msgspec.Struct, frozen=True, array_like=True):
    """An HTTP request of a long-polling client.

    It has no address, origin or headers: the pod that has received the request has checked them,
    and what is not sent cannot be forged.
    """

    method: str
    sid: str
    body: bytes
    traceparent: str = ""


class ForwardedResponse(msgspec.Struct, frozen=True, array_like=True):
    """The response to a forwarded request."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    code: str = ""
    """Code of the refusal that it is; empty if it is none."""


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """A WebSocket that another pod has received."""

    sid: str


def frame(kind: Kind, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return _HEAD.pack(_REST_BYTES + len(payload), kind, stream) + payload


class Frames:
    """The incoming half of a link: bytes -> frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._most = MAX_GREETING_BYTES

    def trust(self) -> None:
        """Accept frames of up to MAX_FRAME_BYTES: the greeting is complete."""
        self._most = MAX_FRAME_BYTES

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> Framed | None:
        """Return the next frame; None if it is not complete. Raises FramingFault."""
        buffer = self._buffer
        if len(buffer) < _HEAD.size:
            return None
        length, kind, stream = _HEAD.unpack_from(buffer)
        if not _REST_BYTES <= length <= self._most:
            raise FramingFault(f"a frame of {length} bytes")
        end = _LENGTH_BYTES + length
        if len(buffer) < end:
            return None
        payload = bytes(memoryview(buffer)[_HEAD.size : end])
        del buffer[:end]
        return Framed(kind, stream, payload)
