"""What a client can say: the values that the parser hands out, one for each message.

Not here: their bytes on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from constellation_ws.websocket.frames import CloseCode


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by a pong with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping, or nothing: an unsolicited one is legal."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The client ends the connection. Answer with `close_frame(code)`, then hang up."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The client broke the protocol or our limit. Send `close_frame(code, reason)` and hang up."""

    code: CloseCode
    reason: str


Received = str | bytes | Ping | Pong | Close | Failure
"""A text message is a plain `str`, a binary one plain `bytes`: cheap to make and to tell apart."""
