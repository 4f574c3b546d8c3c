"""What pods and external emitters ask of all pods: the words, and how they travel over Redis.

Every pod receives each command and executes it for the sockets that it holds; it does not pass it
on. Commands of pods (disconnect, list members, fence, handover) travel by Pub/Sub. Those of
services (emit, join, leave) go through the log with durable delivery, by Pub/Sub with live
delivery. Those of emitters are published, and recorded like events with durable delivery.
Execution is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from constellation_ws.messages import ids
from constellation_ws.messages.events import (
    MAX_ATTACHMENTS,
    NAMESPACE,
    UNSENDABLE_EVENTS,
    MalformedEvent,
    Room,
    slice_array,
    slice_object,
)

EMITTER_CHANNEL = "socketio"
"""The channel that python-socketio's Redis managers publish on unless told otherwise."""

REQUESTS = frozenset(
    {
        "ping",
        "isUserOnline",
        "getOnlineUsers",
        "sendToUser",
        "sendToRoom",
        "joinRoom",
        "leaveRoom",
        "disconnectUser",
    }
)
"""The TCP port's own patterns. A channel is a pattern too, and none may have one of these names."""


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
    invalid_ids: int = 0
    """Rooms that an emitter named and that are no ids; they were left out."""
    is_volatile: bool = False
    """Whether those who are away when it is delivered do not get it later."""


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
    wants_name: bool = False
    """Whether the answer may say which pod it is from; the release before did not know that."""


class Selection(msgspec.Struct, frozen=True):
    """Everyone in any of the rooms but those in an excepted one; None is everyone."""

    rooms: tuple[Room, ...] | None
    except_rooms: tuple[Room, ...]

    def reaches(self, member_of: AbstractSet[str]) -> bool:
        """Tell whether it means a member of these rooms, its own sid among them."""
        is_meant = self.rooms is None or not member_of.isdisjoint(self.rooms)
        return is_meant and member_of.isdisjoint(self.except_rooms)


class Regroup(Selection, frozen=True, tag="regroup", omit_defaults=True):
    """Everyone who is meant enters some rooms and leaves others."""

    enters: tuple[Room, ...] = ()
    leaves: tuple[Room, ...] = ()


class DisconnectAll(Selection, frozen=True, tag="disconnect_all"):
    """Everyone who is meant is disconnected, as by `Disconnect`; nobody waits for an answer."""


class ListMembers(msgspec.Struct, frozen=True, tag="list_members"):
    """Each pod answers on `reply_to` who is in `room` there: users after `cursor`, by their ids."""

    room: Room
    cursor: str
    limit: int
    reply_to: str
    ask: int


class Fence(msgspec.Struct, frozen=True, tag="fence"):
    """The session `sid` has moved on: whoever held it as `owner` closes that connection."""

    sid: str
    owner: str


class Handover(msgspec.Struct, frozen=True, tag="handover"):
    """The recorder has let its lease go: whoever can takes it now."""


Command = (
    Emit
    | Join
    | Leave
    | Empty
    | Regroup
    | Disconnect
    | DisconnectAll
    | ListMembers
    | Fence
    | Handover
)

_NULL = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode: Callable[[bytes], Command] = msgspec.json.Decoder(Command).decode


def encode(command: Command) -> bytes:
    """Write a command as it travels between pods."""
    return _encode(command)


def decode(raw: bytes) -> Command:
    """Read a command of another pod. Raises MalformedEvent."""
    try:
        text = raw.decode()  # bad UTF-8 inside `args` would cost every recipient its socket
        try:
            command = _decode(raw)
        except msgspec.DecodeError:
            rest, args = _take_out(text, "args")
            command = msgspec.structs.replace(_decode(rest), args=args)
        return sendable(command)
    except MalformedEvent:
        raise
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # msgspec's and UTF-8's are ValueErrors
        raise MalformedEvent("not a command") from error


def _take_out(text: str, key: str) -> tuple[bytes, msgspec.Raw]:
    """Give a JSON object with an empty array under a key, and the value that was there.

    That value may hold half of a surrogate pair, which msgspec refuses. Raises ValueError.
    """
    slices = dict(slice_object(text))
    value = slices.get(key, msgspec.Raw(b"[]"))
    return _encode(slices | {key: msgspec.Raw(b"[]")}), value


def emit(event: str, data: msgspec.Raw, rooms: tuple[Room, ...]) -> Emit:
    """Make the command that sends one argument under an event name."""
    return Emit(args=msgspec.Raw(b"[%b,%b]" % (_encode(event), bytes(data))), rooms=rooms)


def sendable(command: Command) -> Command:
    """Refuse to emit what is no event: every recipient's client would close its connection.

    Raises MalformedEvent, ValueError and RecursionError.
    """
    if not isinstance(command, Emit):
        return command
    values = _slice_array(command.args)
    event = _read_value(values[0]) if values else None
    if not isinstance(event, str) or event in UNSENDABLE_EVENTS:
        raise MalformedEvent("an emit without an event that clients accept")
    count = len(command.attachments)
    if count > MAX_ATTACHMENTS:
        raise MalformedEvent("an emit with too many attachments")
    if count and not all(
        type(place) is int and 0 <= place < count
        for place in _placeholders(_read_value(command.args))
    ):
        raise MalformedEvent("a placeholder that stands for no attachment")
    return command


def _slice_array(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _decode_array(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return slice_array(bytes(raw).decode())


def _read_value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return ids.loads(bytes(raw).decode())


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
    event: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"[]")
    binary: bool = False
    room: msgspec.Raw = msgspec.Raw(b"null")
    """A room or a list of them. Room names of python-socketio may be numbers."""
    skip_sid: msgspec.Raw = msgspec.Raw(b"null")
    sid: str | None = None


_decode_emitter = msgspec.json.Decoder(_EmitterMessage).decode
_SLICED = ("event", "data", "room", "skip_sid")


def decode_emitter(raw: bytes) -> Command | None:
    """Read what an external python-socketio emitter published; None where it is not for /chats.

    Raises MalformedEvent.
    """
    try:
        text = raw.decode()  # as in `decode`
        try:
            message = _decode_emitter(raw)
        except msgspec.DecodeError:
            message = _decode_emitter_leniently(text)
        if message.namespace != NAMESPACE:
            return None
        return sendable(_translate(message))
    except MalformedEvent:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedEvent("not an emitter's message") from error


def _decode_emitter_leniently(text: str) -> _EmitterMessage:
    """Decode what msgspec refuses but JSON allows: half of a surrogate pair. Raises ValueError."""
    slices = slice_object(text)
    rest = {key: value for key, value in slices.items() if key not in _SLICED}
    sliced = {key: slices[key] for key in _SLICED if key in slices}
    return msgspec.structs.replace(_decode_emitter(_encode(rest)), **sliced)


def _translate(message: _EmitterMessage) -> Command:
    sid, found = message.sid, ids.read_ids(message.room)
    rooms = tuple(map(Room, found.ids)) if found is not None else ()
    match message.method:
        case "emit" if message.event != _NULL:
            return _translate_emit(message, rooms, found.invalid if found is not None else 0)
        case "enter_room" if sid and rooms:
            return Join(Room(sid), rooms[0])
        case "leave_room" if sid and rooms:
            return Leave(Room(sid), rooms[0])
        case "close_room" if rooms:
            return Empty(rooms[0])
        case "disconnect" if sid:
            return Disconnect(Room(sid))
    raise MalformedEvent("a method that is not known")


def _translate_emit(message: _EmitterMessage, rooms: tuple[Room, ...], invalid: int) -> Emit:
    if invalid and not rooms:
        raise MalformedEvent("an emit to rooms that are no ids")
    data, attachments = message.data, tuple[bytes, ...]()
    if message.binary:
        data, attachments = _take_out_attachments(data)
    values = [message.event, *_values_of(data)]
    args = msgspec.Raw(b"[%b]" % b",".join(map(bytes, values)))
    skipped = ids.read_ids(message.skip_sid)
    return Emit(
        args,
        None if message.room == _NULL else rooms,
        tuple(map(Room, skipped.ids)) if skipped is not None else (),
        attachments,
        invalid_ids=invalid,
    )


def _values_of(data: msgspec.Raw) -> list[msgspec.Raw]:
    """Give the arguments; `emit("event")` of python-socketio sends none, and says null."""
    values = _slice_array(data)
    return [] if values == [_NULL] else values


def _take_out_attachments(data: msgspec.Raw) -> tuple[msgspec.Raw, tuple[bytes, ...]]:
    """Split `[arguments, "base64", ...]`. Raises ValueError."""
    arguments, *texts = _slice_array(data)
    return arguments, tuple(msgspec.json.decode(text, type=bytes) for text in texts)
