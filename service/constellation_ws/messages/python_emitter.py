"""What emitters of python-socketio publish on `commands.EMITTER_CHANNEL`, as commands. Pure."""

from __future__ import annotations

import msgspec

from constellation_ws.messages import ids
from constellation_ws.messages.commands import (
    Command,
    Disconnect,
    Emit,
    Empty,
    Join,
    Leave,
    read_array,
    sendable,
)
from constellation_ws.messages.events import MalformedEvent, Room, slice_object
from constellation_ws.messages.namespaces import (
    DEFAULT_NAMESPACES,
    ROOT,
    Namespaces,
    everyone,
)

_NULL = msgspec.Raw(b"null")


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


def decode_emitter(raw: bytes, namespaces: Namespaces = DEFAULT_NAMESPACES) -> Command | None:
    """Read what an external python-socketio emitter published.

    None where its namespace is not served here. Raises MalformedEvent.
    """
    try:
        text = raw.decode()  # as in `decode`
        try:
            message = _decode_emitter(raw)
        except msgspec.DecodeError:
            message = _decode_emitter_leniently(text)
        namespace = message.namespace or ROOT
        if namespace not in namespaces:
            return None
        return sendable(_translate(message, namespace, namespaces))
    except MalformedEvent:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedEvent("not an emitter's message") from error


def _decode_emitter_leniently(text: str) -> _EmitterMessage:
    """Decode what msgspec refuses but JSON allows: half of a surrogate pair. Raises ValueError."""
    slices = slice_object(text)
    rest = {key: value for key, value in slices.items() if key not in _SLICED}
    sliced = {key: slices[key] for key in _SLICED if key in slices}
    return msgspec.structs.replace(_decode_emitter(msgspec.json.encode(rest)), **sliced)


def _translate(message: _EmitterMessage, namespace: str, namespaces: Namespaces) -> Command:
    scope = namespaces.scope(namespace)
    found = ids.read_ids(message.room)
    sid = namespaces.rooms(scope, [message.sid])[0] if message.sid else ""
    rooms = namespaces.rooms(scope, found.ids) if found is not None else ()
    match message.method:
        case "emit" if message.event != _NULL:
            invalid = found.invalid if found is not None else 0
            return _translate_emit(message, rooms, invalid, namespace, namespaces)
        case "enter_room" if sid and rooms:
            return Join(Room(sid), rooms[0])
        case "leave_room" if sid and rooms:
            return Leave(Room(sid), rooms[0])
        case "close_room" if rooms:
            return Empty(rooms[0])
        case "disconnect" if sid:
            return Disconnect(Room(sid))
    raise MalformedEvent("a method that is not known")


def _translate_emit(
    message: _EmitterMessage,
    rooms: tuple[Room, ...],
    invalid: int,
    namespace: str,
    namespaces: Namespaces,
) -> Emit:
    scope = namespaces.scope(namespace)
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
        everyone(scope) if message.room == _NULL else rooms,
        namespaces.rooms(scope, skipped.ids) if skipped is not None else (),
        attachments,
        invalid_ids=invalid,
        namespace=namespace,
    )


def _values_of(data: msgspec.Raw) -> list[msgspec.Raw]:
    """Give the arguments; `emit("event")` of python-socketio sends none, and says null."""
    values = read_array(data)
    return [] if values == [_NULL] else values


def _take_out_attachments(data: msgspec.Raw) -> tuple[msgspec.Raw, tuple[bytes, ...]]:
    """Split `[arguments, "base64", ...]`. Raises ValueError."""
    arguments, *texts = read_array(data)
    return arguments, tuple(msgspec.json.decode(text, type=bytes) for text in texts)
