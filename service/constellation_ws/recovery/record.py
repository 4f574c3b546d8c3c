"""How a session is written: one hash, of which a change writes only what it changes.

Fields: `owner` and `user` for the scripts, `record` (JSON, below), and one field for each room. A
room's value is empty where the session has been in it since the horizon. Else it is the changes
since then, such as `+1699-0 -1702-5`: entered after the one place, left after the other. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from constellation_ws.log import places
from constellation_ws.log.places import Place
from constellation_ws.log.positions import DeliveryProof, RoomChange, Ticket

_ROOM = b"room "


class Unreadable(ValueError):
    """A record of another release, or a stray write."""


# Pods of several releases read and write it, so the names that it has in Redis stay.
_STORED_NAMES = {"horizon": "floor", "has_offsets": "counts", "transport_closed_at": "lost_at"}


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, rename=_STORED_NAMES):
    sid: str
    epoch: str
    begin: Place
    proven: Place
    horizon: Place
    rooms_at: Place
    """Place up to which the rooms follow what the log says of them."""
    has_offsets: bool = False
    transport_closed_at: Place | None = None
    attempts: int = 0
    stale_offset: Place | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it was written last."""

    sid: str
    epoch: str
    proof: DeliveryProof
    horizon: Place
    rooms_at: Place
    attempts: int
    rooms: frozenset[str]
    """Where it was at the horizon."""
    changes: tuple[RoomChange, ...]
    """How that has changed since, in the log's order."""

    @property
    def final_rooms(self) -> set[str]:
        """Where it was when it was written."""
        rooms = set(self.rooms)
        for change in self.changes:
            (rooms.add if change.is_in else rooms.discard)(change.room)
        return rooms


class Fields(msgspec.Struct, frozen=True):
    """What one write changes."""

    record: bytes
    rooms: list[bytes]
    """Names and values, in turn."""
    gone: list[bytes]
    """Names of fields to delete."""
    is_full: bool
    """Whether that is all of the session, and not only what has changed."""
    size: int
    """Bytes of it."""


def write(ticket: Ticket, delivered: Place) -> Fields:
    """Write a session, or what of it is not written yet.

    Its rooms follow the log up to `delivered`, or up to where its transport was closed.
    """
    record = _Record(
        sid=ticket.sid,
        epoch=ticket.epoch,
        begin=ticket.begin,
        proven=ticket.proven,
        horizon=ticket.horizon,
        rooms_at=delivered if ticket.rooms_at is None else ticket.rooms_at,
        has_offsets=ticket.has_offsets,
        transport_closed_at=ticket.transport_closed_at,
        attempts=ticket.attempts,
        stale_offset=ticket.stale_offset,
    )
    unsaved, ticket.unsaved = ticket.unsaved, None
    is_full = not ticket.is_stored
    names: Iterable[str] = unsaved or ()
    if is_full:
        names = {*ticket.rooms, *(change.room for change in ticket.changes)}
    words: list[bytes] = []
    gone: list[bytes] = []
    for name in names:
        changes = [change for change in ticket.changes if change.room == name]
        field = _ROOM + name.encode()
        if changes or name in ticket.rooms:
            words += (field, b" ".join(map(_write_change, changes)))
        else:
            gone.append(field)
    encoded = _encode(record)
    size = len(encoded) + sum(map(len, words)) + sum(map(len, gone))
    return Fields(encoded, words, gone, is_full, size)


def read(fields: Mapping[bytes, bytes]) -> SessionRecord:
    """Read a session. Raises Unreadable."""
    try:
        record = _decode(fields[b"record"])
        rooms, changes = set[str](), list[RoomChange]()
        for name, value in fields.items():
            if name.startswith(_ROOM):
                room = name.removeprefix(_ROOM).decode()
                own = [_read_change(room, text) for text in value.split()]
                changes += own
                if not own or not own[0].is_in:
                    rooms.add(room)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise Unreadable("not a session of this release") from error
    changes.sort(key=lambda change: change.at)  # stable: those of one room keep their order
    proof = DeliveryProof(
        record.begin,
        record.has_offsets,
        record.proven,
        record.transport_closed_at,
        record.stale_offset,
    )
    return SessionRecord(
        record.sid,
        record.epoch,
        proof,
        record.horizon,
        record.rooms_at,
        record.attempts,
        frozenset(rooms),
        tuple(changes),
    )


def _write_change(change: RoomChange) -> bytes:
    return (b"+" if change.is_in else b"-") + places.write(change.at)


def _read_change(room: str, text: bytes) -> RoomChange:
    at = places.read(text[1:], text.count(b",") + 1)
    if text[:1] not in (b"+", b"-") or at is None:
        raise Unreadable("not a change of a room")
    return RoomChange(at, room, text[:1] == b"+")
