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
"""Pods of another version are not asked: a roll may change all of this."""
MAX_GREETING_BYTES = 512
"""What a frame may have before its sender has proven that it is a pod."""
MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEAD = Struct(">IBI")
_LENGTH_BYTES = 4
_REST_BYTES = _HEAD.size - _LENGTH_BYTES


class Kind(IntEnum):
    """What a frame is. One arrow: who sends it, the pod that has connected (>) or the other (<)."""

    CHALLENGE = 1
    """< A random number to be signed."""
    PROOF = 2
    """> Who connects, whom it means, and a signature."""
    WELCOME = 3
    """< The other one's signature."""
    PING = 4
    PONG = 5
    REQUEST = 10
    """> An HTTP request of a polling client, see ForwardedRequest."""
    RESPONSE = 11
    """< The response to it, see ForwardedResponse."""
    CANCEL = 12
    """> The client is gone."""
    FINISH = 13
    """> Let the poll end: this pod is about to stop."""
    OPEN = 20
    """> A WebSocket that asks for a session, by its ID."""
    ACCEPT = 21
    """< It may shake hands."""
    REFUSE = 22
    """< It may not: the session is unknown."""
    DATA = 23
    """Bytes of the WebSocket, either way."""
    END = 24
    """Close the WebSocket once all is written (<), or it is closed (>); answered by END."""
    ABORT = 25
    """< Close it without what still waits."""
    HOLD = 26
    """< Read no more of the client for now."""
    GO_ON = 27
    """< Read on."""
    FULL = 28
    """> More waits for the client than should."""
    DRAINED = 29
    """> It has taken that."""
    OFFER = 30
    """< The session may move. Nothing of the client is to follow until KEEP."""
    TAKE = 31
    """> It is awaited; all that the client has sent so far is before this. Names the offer by how
    many there were on this stream: an answer may cross the KEEP of an offer that is withdrawn."""
    DECLINE = 32
    """> It has to stay; what the client sends goes on coming. Names the offer as TAKE does."""
    SESSION = 33
    """< The session. It is the other pod's from here on, and the stream ends."""
    KEEP = 34
    """< The session stays where it is: what the client sends is to follow again."""
    CLOSE = 35
    """> Close the session as a drain does: this pod is about to stop."""


class Framed(NamedTuple):
    """One frame."""

    kind: int
    stream: int
    payload: bytes


class FramingFault(ValueError):
    """What arrives is not of this protocol, or too large."""


UNREADABLE = (FramingFault, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading a frame or its payload may raise. A text that is not UTF-8 is no MsgspecError, nor
are arrays in arrays without end."""


class ForwardedRequest(msgspec.Struct, frozen=True, array_like=True):
    """An HTTP request of a client, reduced to what its session is asked.

    Address, origin and headers are not in it: the pod that has received the request has checked
    them, so there is nothing that somebody could smuggle in.
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
    """A WebSocket that has arrived at another pod."""

    sid: str


def frame(kind: Kind, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return _HEAD.pack(_REST_BYTES + len(payload), kind, stream) + payload


class Frames:
    """The incoming half of a link: bytes -> frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._most = MAX_GREETING_BYTES

    def trust(self) -> None:
        """Take frames of any size: the other side is a pod."""
        self._most = MAX_FRAME_BYTES

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next(self) -> Framed | None:
        """Give the next frame, None where it is not there yet. Raises FramingFault."""
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
