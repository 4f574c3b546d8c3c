"""What pods and external emitters ask of all pods: the words, and how they travel over Redis.

Commands go by Pub/Sub to every pod; each carries them out for the sockets it holds and tells nobody
further. Carrying out is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from service.events import MAX_ATTACHMENTS, NAMESPACE, RESERVED_EVENTS, MalformedEvent, Room

EMITTER_CHANNEL = "socketio"
"""The channel that python-socketio's Redis managers publish on unless told otherwise."""


def is_own_channel(channel: str, prefix: str) -> bool:
    """Tell whether pods and emitters talk to each other on it: no event may come that way.

    `prefix` is that of all keys and channels of the deployment.
    """
    return channel.startswith(f"{prefix}:") or channel == EMITTER_CHANNEL


class Emit(msgspec.Struct, frozen=True, tag="emit", omit_defaults=True):
    """Send an event to everyone in the rooms; a sid is a room too, and None is everyone."""

    args: msgspec.Raw
    """JSON array: the event's name and its arguments."""
    rooms: tuple[Room, ...] | None
    except_rooms: tuple[Room, ...] = ()
    attachments: tuple[bytes, ...] = ()
    """Binary values that placeholders in `args` stand for, as Socket.IO numbers them."""
    traceparent: str = ""
    """W3C trace context of whoever asked for it; empty where there is none."""


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Everyone in room `who` enters `room`."""

    who: Room
    room: Room


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Everyone in room `who` leaves `room`."""

    who: Room
    room: Room


class Empty(msgspec.Struct, frozen=True, tag="empty"):
    """Everyone leaves `room`."""

    room: Room


class Disconnect(msgspec.Struct, frozen=True, tag="disconnect", omit_defaults=True):
    """Everyone in room `who` is disconnected for good: no client comes back by itself.

    Each pod answers on `reply_to` with the number of its sockets, where that is given.
    """

    who: Room
    reason: str = ""
    reply_to: str = ""
    ask: int = 0


class Fence(msgspec.Struct, frozen=True, tag="fence"):
    """The session `sid` has moved on: whoever held it as `owner` closes that connection."""

    sid: str
    owner: str


class Handover(msgspec.Struct, frozen=True, tag="handover"):
    """The recorder has let its lease go: whoever can takes it now."""


Command = Emit | Join | Leave | Empty | Disconnect | Fence | Handover

_encode = msgspec.json.Encoder().encode
_decode: Callable[[bytes], Command] = msgspec.json.Decoder(Command).decode


def encode(command: Command) -> bytes:
    """Write a command as it travels between pods."""
    return _encode(command)


def decode(raw: bytes) -> Command:
    """Read a command of another pod. Raises MalformedEvent."""
    try:
        raw.decode()  # bad UTF-8 inside `args` would cost every recipient its socket
        return _sendable(_decode(raw))
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise MalformedEvent("not a command") from error


def emit(event: str, data: msgspec.Raw, rooms: tuple[Room, ...]) -> Emit:
    """Make the command that sends one argument under an event name."""
    return Emit(args=msgspec.Raw(b"[%b,%b]" % (_encode(event), bytes(data))), rooms=rooms)


def _sendable(command: Command) -> Command:
    """Refuse to emit what is no event: every recipient's client would hang up on it.

    Raises MalformedEvent, and what msgspec raises.
    """
    if not isinstance(command, Emit):
        return command
    values = _read_values(command.args)
    if not values or _read_name(values[0]) in RESERVED_EVENTS:
        raise MalformedEvent("an emit without an event of its own")
    count = len(command.attachments)
    if count > MAX_ATTACHMENTS:
        raise MalformedEvent("an emit with too many attachments")
    if count and not all(
        type(place) is int and 0 <= place < count
        for place in _placeholders(msgspec.json.decode(command.args))
    ):
        raise MalformedEvent("a placeholder that stands for no attachment")
    return command


_read_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_name = msgspec.json.Decoder(str).decode


def _placeholders(value: Any) -> Iterator[object]:
    """Yield the number of every placeholder, whatever it is."""
    if isinstance(value, list):
        for item in value:
            yield from _placeholders(item)
    elif isinstance(value, dict):
        if value.get("_placeholder") is True:
            yield value.get("num")
            return
        for item in value.values():
            yield from _placeholders(item)


class _EmitterMessage(msgspec.Struct):
    """A message of python-socketio 5.18 (`AsyncPubSubManager._publish`), JSON since 5.14."""

    method: str
    namespace: str | None = None
    event: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"[]")
    binary: bool = False
    room: str | list[str] | None = None
    skip_sid: str | list[str] | None = None
    sid: str | None = None


_decode_emitter = msgspec.json.Decoder(_EmitterMessage).decode


def decode_emitter(raw: bytes) -> Command | None:
    """Read what an external python-socketio emitter published; None where it is not for /chats.

    Raises MalformedEvent.
    """
    try:
        raw.decode()  # as in `decode`
        message = _decode_emitter(raw)
        if message.namespace != NAMESPACE:
            return None
        return _sendable(_translate(message))
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise MalformedEvent("not an emitter's message") from error


def _translate(message: _EmitterMessage) -> Command:
    sid, rooms = message.sid, _rooms(message.room)
    match message.method:
        case "emit" if message.event is not None and message.event not in RESERVED_EVENTS:
            args, attachments = _emitter_args(message)
            everyone = message.room is None
            return Emit(args, None if everyone else rooms, _rooms(message.skip_sid), attachments)
        case "enter_room" if sid and rooms:
            return Join(Room(sid), rooms[0])
        case "leave_room" if sid and rooms:
            return Leave(Room(sid), rooms[0])
        case "close_room" if rooms:
            return Empty(rooms[0])
        case "disconnect" if sid:
            return Disconnect(Room(sid))
    raise MalformedEvent("a method that is not known")


def _emitter_args(message: _EmitterMessage) -> tuple[msgspec.Raw, tuple[bytes, ...]]:
    """Put the event's name before the arguments; binary ones follow theirs in base64."""
    data, attachments = message.data, tuple[bytes, ...]()
    if message.binary:
        data, attachments = _take_out_attachments(data)
    values = [bytes(value) for value in msgspec.json.decode(data, type=list[msgspec.Raw])]
    if values == [b"null"]:
        values = []  # `emit("event")`: python-socketio sends no argument where there is no data
    return msgspec.Raw(b"[%b]" % b",".join([_encode(message.event), *values])), attachments


def _take_out_attachments(data: msgspec.Raw) -> tuple[msgspec.Raw, tuple[bytes, ...]]:
    """Split `[arguments, "base64", ...]`."""
    try:
        arguments, *texts = msgspec.json.decode(data, type=list[msgspec.Raw])
        return arguments, tuple(msgspec.json.decode(text, type=bytes) for text in texts)
    except ValueError as error:  # an empty list
        raise MalformedEvent("a binary message without arguments") from error


def _rooms(value: str | list[str] | None) -> tuple[Room, ...]:
    if value is None:
        return ()
    return (Room(value),) if isinstance(value, str) else tuple(Room(room) for room in value)
