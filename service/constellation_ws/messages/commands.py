"""What pods and external emitters ask of all pods: the words, and how they travel over Redis.

Every pod receives each command and executes it for the sockets that it holds; it does not pass it
on. Commands of pods (disconnect, list members, inspect, fence, handover) travel by Pub/Sub. Those
of services (emit, join, leave) go through the log with durable delivery, by Pub/Sub with live
delivery. Those of emitters are published, and recorded like events with durable delivery.
Execution is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

import msgspec

from constellation_ws.messages import ids
from constellation_ws.messages.events import (
    MAX_ATTACHMENTS,
    UNSENDABLE_EVENTS,
    MalformedEvent,
    Room,
    slice_array,
    slice_object,
)
from constellation_ws.messages.namespaces import Scope

EMITTER_CHANNEL = "socketio"  # python-socketio's Redis managers publish on it by default

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
    """Return whether pods and emitters talk to each other on it: no event may come that way.

    `prefix` is that of all keys and channels of the deployment.
    """
    return channel.startswith(f"{prefix}:") or channel == EMITTER_CHANNEL


MAX_ACK_ID = 2**31 - 1
"""Some clients, such as that for Java, read an ack id as a 32-bit number."""


class AckRequest(msgspec.Struct, frozen=True):
    """Clients are to acknowledge an event; each pod reports to `reply_to` which of them did."""

    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ACK_ID)]
    """The ack id of the packets, the same for all recipients. The asking pod has chosen it."""
    reply_to: str
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)]
    """How long acks are accepted."""


class Emit(msgspec.Struct, frozen=True, tag="emit", omit_defaults=True):
    """Send an event to everyone in the rooms; a sid is a room too, and None is everyone."""

    args: msgspec.Raw
    """JSON array: the event's name and its arguments."""
    rooms: tuple[Room, ...] | None
    except_rooms: tuple[Room, ...] = ()
    attachments: tuple[bytes, ...] = ()
    """Binary values that placeholders in `args` stand for, as Socket.IO numbers them."""
    traceparent: str = ""
    """W3C trace context of the request; empty where there is none."""
    invalid_ids: int = 0
    """Rooms that an emitter named and that are no ids; they were left out."""
    is_volatile: bool = False
    """Whether those who are away when it is delivered do not get it later."""
    namespace: str = ""
    """Empty for the default one."""
    ack: AckRequest | None = None
    """None if nobody waits for acks. Pods of the release before ignore it."""


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
    """Everyone in room `who` is disconnected for good: no client reconnects by itself.

    Each pod answers on `reply_to` with the number of its sockets, where that is given.
    """

    who: Room
    reason: str = ""
    reply_to: str = ""
    ask: int = 0
    wants_name: bool = False
    """Whether the answer may say which pod it is from; the release before did not know that."""


class Selection(msgspec.Struct, frozen=True):
    """Everyone in any of the rooms but those in an excepted one.

    None is everyone in the default namespace.
    """

    rooms: tuple[Room, ...] | None
    except_rooms: tuple[Room, ...]

    def reaches(self, member_of: AbstractSet[str], scope: Scope) -> bool:
        """Return whether it means a member of these rooms, its own among them, in a namespace."""
        is_meant = not scope if self.rooms is None else not member_of.isdisjoint(self.rooms)
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


class Inspect(msgspec.Struct, frozen=True, tag="inspect"):
    """Each pod answers on `reply_to` what an operator's console asks; `query` is the console's."""

    query: msgspec.Raw
    reply_to: str
    ask: int


class Fence(msgspec.Struct, frozen=True, tag="fence"):
    """The session `sid` was resumed elsewhere: the pod with its former `owner` closes that one."""

    sid: str
    owner: str


class Handover(msgspec.Struct, frozen=True, tag="handover", omit_defaults=True):
    """A pod leaves: a candidate may acquire the lease now."""

    unrecorded: str = ""  # position from which it leaves received messages unrecorded, if any
    partition: int = 0  # of the log, whose lease is meant


Command = (
    Emit
    | Join
    | Leave
    | Empty
    | Regroup
    | Disconnect
    | DisconnectAll
    | ListMembers
    | Inspect
    | Fence
    | Handover
)

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
    except (ValueError, TypeError, RecursionError) as error:  # msgspec's, UTF-8's: ValueErrors
        raise MalformedEvent("not a command") from error


def _take_out(text: str, key: str) -> tuple[bytes, msgspec.Raw]:
    """Give a JSON object with an empty array under a key, and the value that was there.

    That value may hold half of a surrogate pair, which msgspec refuses. Raises ValueError.
    """
    slices = dict(slice_object(text))
    value = slices.get(key, msgspec.Raw(b"[]"))
    return _encode(slices | {key: msgspec.Raw(b"[]")}), value


def emit(
    event: str,
    data: msgspec.Raw,
    rooms: tuple[Room, ...],
    namespace: str = "",
    ack: AckRequest | None = None,
) -> Emit:
    """Make the command that sends one argument under an event name."""
    args = msgspec.Raw(b"[%b,%b]" % (_encode(event), bytes(data)))
    return Emit(args=args, rooms=rooms, namespace=namespace, ack=ack)


def sendable(command: Command) -> Command:
    """Refuse to emit what is no event: every recipient's client would close its connection.

    Raises MalformedEvent, ValueError and RecursionError.
    """
    if not isinstance(command, Emit):
        return command
    values = read_array(command.args)
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


def read_array(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Give the values of a JSON array as they are written. Raises ValueError."""
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
    """Yield the number of every placeholder, whatever it is.

    JavaScript's client looks for `_placeholder: true`; python-socketio's for anything true there
    beside a `num`, and its connection ends where that is no number of an attachment.
    """
    if isinstance(value, list):
        for item in value:
            yield from _placeholders(item)
    elif isinstance(value, dict):
        mark = value.get("_placeholder")
        if mark is True or (mark and "num" in value):
            yield value.get("num")
            return
        for item in value.values():
            yield from _placeholders(item)
