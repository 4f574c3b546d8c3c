"""What a client can send: the values that the parser returns, one for each message.

Not here: their bytes on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

from constellation_ws.websocket.frames import CloseCode


@dataclass(frozen=True, slots=True)
class Ping:
    """Must be answered by a pong with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping, or nothing: an unsolicited one is legal."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The client closes. Answer with `close_frame(code)`, then close the connection."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The client violated the protocol or a limit. Send `close_frame(code, reason)`, and close."""

    code: CloseCode
    reason: str


Received = str | bytes | Ping | Pong | Close | Failure
"""A text message is a `str`, a binary one `bytes`: cheap to make and to distinguish."""
