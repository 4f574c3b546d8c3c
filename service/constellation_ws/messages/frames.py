"""Encode an event once, in every form that a socket may need. Pure; knows no socket.

Formats: Socket.IO v5 packets (github.com/socketio/socket.io-protocol) inside Engine.IO v4 messages
(github.com/socketio/engine.io-protocol).
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

import msgspec

from constellation_ws.messages.commands import Emit
from constellation_ws.messages.events import NAMESPACE, EventName, Fields
from constellation_ws.messages.namespaces import packet_prefix
from constellation_ws.websocket import binary_frame, text_frame

_encode = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event as Engine.IO messages, shared by all recipients and never changed."""

    message: bytes
    """`42/chats,["new-message",{...}]` in UTF-8."""
    attachments: tuple[bytes, ...] = ()
    """Binary messages that follow it at once on the same socket."""
    offset: bytes = b""
    """The event's log ID; empty where it came without the log."""

    def websocket(self, with_offset: bool = False) -> bytes:
        """Make the WebSocket frames, in one piece; with an offset where it has one."""
        text = text_frame(self._message(with_offset))
        if not self.attachments:
            return text
        return b"".join([text, *map(binary_frame, self.attachments)])

    def polling(self, with_offset: bool = False) -> list[str]:
        """Make the packets of a long-polling payload, where binary ones are base64."""
        binary = ["b" + b64encode(one).decode() for one in self.attachments]
        return [self._message(with_offset).decode(), *binary]

    def _message(self, with_offset: bool) -> bytes:
        """Give the text message; the offset is the event's last argument, a string."""
        if with_offset and self.offset:
            return b'%b,"%b"]' % (self.message[:-1], self.offset)
        return self.message


def encode_event(
    event: EventName, body: Fields, offset: bytes = b"", namespace: str = NAMESPACE
) -> Frame:
    """Put an event's payload, values untouched, behind its name."""
    return Frame(_prefix(event, namespace) + _encode(body) + b"]", (), offset)


def encode_emit(command: Emit, offset: bytes = b"") -> Frame:
    """Put arguments that came ready-made into a packet, binary ones behind it."""
    args, count = bytes(command.args), len(command.attachments)
    namespace = packet_prefix(command.namespace or NAMESPACE)
    if not count:
        return Frame(b"42%b%b" % (namespace, args), (), offset)
    message = b"45%d-%b%b" % (count, namespace, args)
    return Frame(message, command.attachments, offset)


@lru_cache(maxsize=256)  # as many as there are events in the route table, which is bounded
def _prefix(event: EventName, namespace: str) -> bytes:
    return b"42%b[%b," % (packet_prefix(namespace), _encode(event))
