"""Encode an event once, in every form that a socket may need. Pure; knows no socket.

Formats: Socket.IO v5 packets (github.com/socketio/socket.io-protocol) inside Engine.IO v4 messages
(github.com/socketio/engine.io-protocol).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from service.commands import Emit
from service.events import NAMESPACE, EventName, Fields

_encode = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event as Socket.IO packets, shared by all recipients and never changed."""

    packet: bytes
    """`2/chats,["new-message",{...}]` in UTF-8."""
    attachments: tuple[bytes, ...] = ()
    """Binary packets that follow it at once on the same socket."""

    @property
    def payload_bytes(self) -> int:
        """Size of what one recipient gets, framing aside."""
        return len(self.packet) + sum(map(len, self.attachments))


def encode_event(event: EventName, body: Fields) -> Frame:
    """Put an event's payload, values untouched, behind its name."""
    return Frame(b"%b%b]" % (_prefix(event), _encode(body)))


def encode_emit(command: Emit) -> Frame:
    """Put arguments that came ready-made into a packet, binary ones behind it."""
    args, count = bytes(command.args), len(command.attachments)
    if not count:
        return Frame(b"2%b,%b" % (NAMESPACE.encode(), args))
    return Frame(b"5%d-%b,%b" % (count, NAMESPACE.encode(), args), command.attachments)


@lru_cache(maxsize=256)  # as many as there are events in the route table, which is bounded
def _prefix(event: EventName) -> bytes:
    return b"2%b,[%b," % (NAMESPACE.encode(), _encode(event))
