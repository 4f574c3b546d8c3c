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

OFFSET_EVENT = "constellation:offset"
"""The event that carries the offset of an event which its client is to acknowledge."""
UNDECIDED = "?"
"""Behind an offset: the event with this offset may have arrived, or not."""

_encode = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event as Engine.IO messages, shared by all recipients and never changed."""

    message: bytes
    """`42/chats,["new-message",{...}]` in UTF-8."""
    attachments: tuple[bytes, ...] = ()
    """Binary messages that follow it at once on the same socket."""
    offset: bytes = b""
    """The event's log ID; empty where it came without the log."""
    marks: tuple[bytes, bytes] | None = None
    """Messages before and after it that carry its offset; None where its own argument does."""

    def websocket(self, with_offset: bool = False) -> bytes:
        """Make the WebSocket frames, in one piece; with an offset where it has one."""
        text = text_frame(self._message(with_offset))
        if not self.attachments and self.marks is None:
            return text
        frames = [text, *map(binary_frame, self.attachments)]
        if with_offset and self.marks is not None:
            before, after = map(text_frame, self.marks)
            frames = [before, *frames, after]
        return b"".join(frames)

    def polling(self, with_offset: bool = False) -> list[str]:
        """Make the packets of a long-polling payload, where binary ones are base64."""
        binary = ["b" + b64encode(one).decode() for one in self.attachments]
        packets = [self._message(with_offset).decode(), *binary]
        if with_offset and self.marks is not None:
            before, after = self.marks
            packets = [before.decode(), *packets, after.decode()]
        return packets

    def at(self, offset: bytes) -> Frame:
        """Make the same with another offset."""
        marks = self.marks
        if marks is not None:
            old, new = b'"' + self.offset, b'"' + offset
            marks = marks[0].replace(old, new), marks[1].replace(old, new)
        return Frame(self.message, self.attachments, offset, marks)

    def _message(self, with_offset: bool) -> bytes:
        """Give the text message; the offset is the event's last argument, a string."""
        if with_offset and self.offset and self.marks is None:
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
    ack_id, marks = b"", None
    if command.ack is not None:
        ack_id = b"%d" % command.ack.id
        marks = _offset_marks(namespace, offset) if offset else None
    head = b"45%d-" % count if count else b"42"
    return Frame(head + namespace + ack_id + args, command.attachments, offset, marks)


def _offset_marks(namespace: bytes, offset: bytes) -> tuple[bytes, bytes]:
    """Write what lets a client note the offset of an event that it is to acknowledge.

    socket.io-client appends the ack's callback to the arguments, and takes only a last argument
    that is a string for an offset. So the offset comes in an event behind it. A connection may end
    in between: then the client presents the mark that came before, and it is known that it is not
    known whether the event has arrived.
    """
    before, after = (
        b'42%b["%b","%b%b"]' % (namespace, OFFSET_EVENT.encode(), offset, mark)
        for mark in (UNDECIDED.encode(), b"")
    )
    return before, after


@lru_cache(maxsize=256)  # as many as there are events in the route table, which is bounded
def _prefix(event: EventName, namespace: str) -> bytes:
    return b"42%b[%b," % (packet_prefix(namespace), _encode(event))
