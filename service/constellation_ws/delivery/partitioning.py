"""Which partition of the log a message belongs to.

Pure. Everything is the hash of a room's name, so what concerns one room is in one partition, and
has one order. All pods must find the same partition for the same message: a position in the Pub/Sub
stream counts the messages of its partition.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.interface import templates
from constellation_ws.interface.rows import RouteRow
from constellation_ws.messages import ids
from constellation_ws.messages.commands import (
    Command,
    DisconnectAll,
    Emit,
    Empty,
    Join,
    Leave,
    Regroup,
)
from constellation_ws.messages.events import Decoder, MalformedEvent, fields_of
from constellation_ws.messages.ids import Id
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces, Scope
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels

_NO_BOUND = 1 << 62
"""A bound that pods are given differently would give one message two partitions."""

_FindRoom = Callable[[bytes], str | None]


class Partitioning:
    """Finds the partition of messages, as many as there are now."""

    def __init__(
        self,
        rows: Iterable[RouteRow] = (),
        emitters: EmitterChannels = DEFAULT_EMITTERS,
        namespaces: Namespaces = DEFAULT_NAMESPACES,
    ) -> None:
        """`rows` must have been checked, and name their namespaces."""
        self.width = 1
        """How many partitions are in use, as far as this pod has received messages."""
        self._events: Mapping[bytes, _FindRoom] = {
            row.channel.encode(): _EventRoom(row, namespaces.scope(row.namespace)).find
            for row in rows
        }
        self._emits = emitters.emits if emitters.patterns else b""
        self._emit = _EmitRoom(namespaces).find
        self._reader = CommandReader(emitters, namespaces, _NO_BOUND)

    def widen(self, width: int) -> None:
        """Divide what comes from here on among so many partitions; never among fewer."""
        self.width = max(self.width, width)

    def find(self, channel: bytes, payload: bytes) -> int:
        """Return the partition of a message: 0 for one that concerns no room, or is unreadable.

        While there is one partition nothing is read.
        """
        if self.width == 1:
            return 0
        find = self._events.get(channel)
        room = self._room_of_command(channel, payload) if find is None else find(payload)
        return 0 if room is None else self.of_room(room)

    def of_room(self, room: str) -> int:
        """Return the partition of what concerns a room."""
        return crc_hqx(room.encode(), 0) % self.width

    def _room_of_command(self, channel: bytes, payload: bytes) -> str | None:
        try:
            if self._emits and channel.startswith(self._emits):
                return self._emit(payload)
            command = self._reader.read(channel, payload)
        except MalformedEvent:
            return None
        return None if command is None else _room_of(command)


def _room_of(command: Command) -> str | None:
    """Name the room that a command is about: the one that changes, or the first that gets it."""
    match command:
        case Join() | Leave() | Empty():
            return command.room
        case Regroup(rooms=rooms, enters=enters, leaves=leaves):
            return next(iter((*enters, *leaves, *(rooms or ()))), None)
        case Emit(rooms=rooms) | DisconnectAll(rooms=rooms):
            return rooms[0] if rooms else None
    return None


class _EventRoom:
    """Reads the room by which the events of one route are divided, and nothing else of them."""

    def __init__(self, row: RouteRow, scope: Scope) -> None:
        prefix, key = templates.split_checked(row.effective_partition_by())
        self._prefix = scope + prefix
        member = ("value", Id | list[Id] | None | UnsetType, UNSET)
        shape = msgspec.defstruct("EventRoom", [member], rename={"value": key}, gc=False)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode
        self._decode_leniently = Decoder(fields_of([key])).decode

    def find(self, payload: bytes) -> str | None:
        """Name the room; of several the first. None where the event has none."""
        try:
            value = self._decode(payload).value
        except (ValueError, RecursionError):  # msgspec's and UTF-8's are ValueErrors
            value = self._read_leniently(payload)
        if isinstance(value, list):
            value = value[0] if value else None
        return None if value is None or value is UNSET or value == "" else f"{self._prefix}{value}"

    def _read_leniently(self, payload: bytes) -> str | None:
        """Read an address such as `1.0`, or a list of which some are no ids, as routes do."""
        try:
            (raw,) = msgspec.structs.astuple(self._decode_leniently(payload))
        except MalformedEvent:
            return None
        found = None if raw is UNSET else ids.read_ids(raw)
        return found.ids[0] if found is not None and found.ids else None


class _EmitNamespace(msgspec.Struct, gc=False):
    nsp: str | None = None


class _EmitRooms(msgspec.Struct, gc=False):
    rooms: Any = None


class _EmitHead(msgspec.Struct, array_like=True, gc=False):
    uid: msgspec.Raw
    packet: _EmitNamespace
    opts: _EmitRooms


class _EmitRoom:
    """Reads the first room of what an emitter of Socket.IO emits, and nothing of its arguments."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._scopes = namespaces.scopes
        self._decode = msgspec.msgpack.Decoder(_EmitHead).decode

    def find(self, payload: bytes) -> str | None:
        """Name the room; None for an emit to everyone, or one that cannot be read."""
        try:
            head = self._decode(payload)
        except (ValueError, RecursionError):
            return None
        scope = self._scopes.get(head.packet.nsp or "/")
        found = ids.ids_of(head.opts.rooms)
        return None if scope is None or found is None or not found.ids else scope + found.ids[0]
