"""What `@socket.io/redis-emitter` publishes, as commands. Pure.

Emits are msgpack on `<key>#<namespace>#`, or `<key>#<namespace>#<room>#` where there is one room;
requests are JSON on `<key>-request#<namespace>#`. Emitters in PHP, Go, Java and Rust publish the
same, and so do Socket.IO servers with `@socket.io/redis-adapter`. Nothing is ever published on
these channels by a gateway, so nothing can go round between gateways and servers.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from constellation_ws.messages import ids
from constellation_ws.messages.commands import Command, DisconnectAll, Emit, Regroup, sendable
from constellation_ws.messages.events import EventTooLarge, MalformedEvent, Room
from constellation_ws.messages.namespaces import (
    DEFAULT_NAMESPACES,
    DEFAULT_SCOPE,
    ROOT,
    Namespaces,
    Scope,
    everyone,
)
from constellation_ws.messages.node_values import Arguments, read_extension

DEFAULT_KEY = "socket.io"
"""The `key` of emitters and adapters, unless they are given another one."""

MAX_ROOMS = 1_000
"""Rooms that one request may have sockets enter or leave: each is stored with each session."""


class EmitterChannels:
    """The channels of one `key`; without a key there are none."""

    def __init__(self, key: str = DEFAULT_KEY) -> None:
        """`key` must have none of the signs that mean something in a pattern."""
        self.patterns: tuple[str, ...] = (f"{key}#*", f"{key}-request#*") if key else ()
        """Patterns, since each room has a channel of its own. Requests come by a pattern as well:
        Socket.IO servers wait for an answer from each subscriber of their request channel (PUBSUB
        NUMSUB), and patterns do not count there.

        The namespace is not in them: what is for others is to be counted."""
        self.label = key
        """What the channels are called in logs and metrics: their names hold rooms."""
        self.emits = f"{key}#".encode()
        """What the channels of emits begin with; the namespace follows, and another `#`."""
        self.requests = f"{key}-request#".encode()
        """As `emits`, for requests."""
        self._own = tuple(pattern[:-1] for pattern in self.patterns)

    def own(self, channel: str) -> bool:
        """Return whether emitters publish there: no event may come that way."""
        return channel.startswith(self._own)


DEFAULT_EMITTERS = EmitterChannels()


class Unsupported(Enum):
    """What emitters and servers publish and a gateway does not support; the value is a label."""

    NAMESPACE = "namespace"
    SERVER_SIDE_EMIT = "server_side_emit"
    QUERY = "query"
    EMIT_WITH_ACK = "emit_with_ack"
    REQUEST = "request"


class _Type(Enum):
    """`RequestType` of the adapter."""

    SOCKETS = 0
    ALL_ROOMS = 1
    REMOTE_JOIN = 2
    REMOTE_LEAVE = 3
    REMOTE_DISCONNECT = 4
    REMOTE_FETCH = 5
    SERVER_SIDE_EMIT = 6
    BROADCAST = 7


_EVENTS = frozenset({2, 5})
"""Types of packets: EVENT, and BINARY_EVENT of emitters before 4."""

_UNSUPPORTED = {
    _Type.SOCKETS: Unsupported.QUERY,
    _Type.ALL_ROOMS: Unsupported.QUERY,
    _Type.REMOTE_FETCH: Unsupported.QUERY,
    _Type.SERVER_SIDE_EMIT: Unsupported.SERVER_SIDE_EMIT,
    _Type.BROADCAST: Unsupported.EMIT_WITH_ACK,
}


class _Options(msgspec.Struct, rename={"except_": "except"}):
    rooms: Any = None
    except_: Any = None
    flags: Any = None


class _Packet(msgspec.Struct):
    type: int
    data: list[Any]
    nsp: str | None = None


class _Emit(msgspec.Struct, array_like=True):
    uid: Any
    """Of a server, which ignores its own; `emitter` of an emitter."""
    packet: _Packet
    opts: _Options


class _Request(msgspec.Struct):
    type: int
    opts: _Options | None = None
    rooms: Any = None


class _RequestHead(msgspec.Struct):
    type: int
    opts: msgspec.Raw = msgspec.Raw()


def namespace_in(channel: bytes, prefix: bytes) -> str:
    """Read which namespace a channel is for, behind `emits` or `requests`."""
    return channel[len(prefix) :].partition(b"#")[0].decode(errors="replace")


def decode_emit(
    payload: bytes, max_bytes: int, namespaces: Namespaces = DEFAULT_NAMESPACES
) -> Emit | None:
    """Read an emit; None where its namespace is not served here.

    What it becomes, attachments included, may have `max_bytes`. Raises MalformedEvent.
    """
    try:
        message = _decode_emit(payload)
        namespace = message.packet.nsp or ROOT
        if namespace not in namespaces:
            return None
        scope = namespaces.scope(namespace)
        if message.packet.type not in _EVENTS:
            raise MalformedEvent("a packet that is no event")
        arguments = Arguments()
        args = msgspec.json.encode(arguments.write(message.packet.data))
    except MalformedEvent:
        raise
    except RecursionError as error:
        raise MalformedEvent("nested too deeply") from error
    except (ValueError, OverflowError) as error:  # msgspec's and UTF-8's are ValueErrors
        raise MalformedEvent("not an emitter's message") from error
    if len(args) + sum(map(len, arguments.attachments)) > max_bytes:
        raise EventTooLarge("an emit whose JSON is too large")
    rooms, invalid = _rooms(message.opts.rooms, scope, namespaces)
    flags = message.opts.flags
    command = Emit(
        msgspec.Raw(args),
        rooms,
        _except_rooms(message.opts, scope, namespaces),
        tuple(arguments.attachments),
        invalid_ids=invalid,
        is_volatile=isinstance(flags, dict) and bool(flags.get("volatile")),
        namespace=namespace,
    )
    sendable(command)
    return command


def decode_request(
    payload: bytes,
    scope: Scope = DEFAULT_SCOPE,
    namespaces: Namespaces = DEFAULT_NAMESPACES,
) -> Command:
    """Read a request that is supported, in a namespace. Raises MalformedEvent."""
    try:
        request = _json_request(payload) if _is_json(payload) else _msgpack_request(payload)
        kind = _Type(request.type)
    except (ValueError, RecursionError, OverflowError) as error:
        raise MalformedEvent("not an emitter's request") from error
    if request.opts is None:
        raise MalformedEvent("a request that names no sockets")
    who, _ = _rooms(request.opts.rooms, scope, namespaces)
    but = _except_rooms(request.opts, scope, namespaces)
    match kind:
        case _Type.REMOTE_JOIN:
            return Regroup(who, but, enters=_moved_rooms(request.rooms, scope, namespaces))
        case _Type.REMOTE_LEAVE:
            return Regroup(who, but, leaves=_moved_rooms(request.rooms, scope, namespaces))
        case _Type.REMOTE_DISCONNECT:
            return DisconnectAll(who, but)
    raise MalformedEvent("a request that is not supported")


def find_unsupported(payload: bytes) -> Unsupported | None:
    """Say what a request is that is not executed; None for all others, broken ones included."""
    try:
        head = _json_head(payload) if _is_json(payload) else _msgpack_head(payload)
    except (ValueError, RecursionError, OverflowError):
        return None
    try:
        kind = _Type(head.type)
    except ValueError:
        return Unsupported.REQUEST
    if kind in _UNSUPPORTED:
        return _UNSUPPORTED[kind]
    # Adapters before 6 name one socket by its id, and wait for an answer.
    return None if bytes(head.opts) else Unsupported.REQUEST


def _is_json(payload: bytes) -> bool:
    """Distinguish the two formats as the adapter does."""
    return payload.startswith(b"{")


def _rooms(value: Any, scope: Scope, namespaces: Namespaces) -> tuple[tuple[Room, ...] | None, int]:
    """Name the rooms, None for everyone, and count those that are no ids.

    Raises MalformedEvent where all are none, since it was not for everyone, and where one is of
    another namespace.
    """
    found = ids.ids_of(value)
    if found is None or (found.is_list and not found.ids and not found.invalid):
        return everyone(scope), 0
    if not found.ids:
        raise MalformedEvent("rooms that are no ids")
    return namespaces.rooms(scope, found.ids), found.invalid


def _except_rooms(options: _Options, scope: Scope, namespaces: Namespaces) -> tuple[Room, ...]:
    found = ids.ids_of(options.except_)
    return namespaces.rooms(scope, found.ids) if found is not None else ()


def _moved_rooms(value: Any, scope: Scope, namespaces: Namespaces) -> tuple[Room, ...]:
    rooms, _ = _rooms(value, scope, namespaces)
    if rooms is None or rooms == everyone(scope):
        raise MalformedEvent("a request that names no rooms")
    if len(rooms) > MAX_ROOMS:
        raise MalformedEvent("a request that names too many rooms")
    return rooms


_decode_emit = msgspec.msgpack.Decoder(_Emit, ext_hook=read_extension).decode
_json_request = msgspec.json.Decoder(_Request).decode
_msgpack_request = msgspec.msgpack.Decoder(_Request).decode
_json_head = msgspec.json.Decoder(_RequestHead).decode
_msgpack_head = msgspec.msgpack.Decoder(_RequestHead).decode
