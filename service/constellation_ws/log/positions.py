"""The state of a session: up to where its client provably has everything, and its rooms over time.

Pure. Positions of a session live here and nowhere else: each is a place in the log. Log IDs are
compared, never clocks.

What raises a position, and what does not:

| what happened | `proven` | `transport_closed_at` |
| --- | --- | --- |
| `pinged`: a PING was written behind all up to `at` | as it was | as it was |
| `ponged`: its client has answered that PING | that `at` | as it was |
| `close_sent`: our Close frame was written behind all up to `at` | as it was | as it was |
| `close_acknowledged`: its client has answered that frame | that `at` | that `at` |
| `transport_closed`: the transport is gone; nothing later than `at` was sent | as it was | `at` |

Bytes that a kernel or a proxy has accepted prove nothing, so closing a connection raises nothing.

From where a session is resumed (`resume_from`):

| its client | starts after | not recovered if an event in here was addressed to it |
| --- | --- | --- |
| has offsets, and presents one | the offset, or `begin` if that is later | nowhere |
| has offsets, and presents none, or that of an earlier session | `begin` | nowhere |
| has no offsets, the pod died | `proven` | all after `proven` |
| has no offsets, the transport was lost | `proven` | after `proven`, up to `transport_closed_at` |
| has no offsets, it answered our Close | `proven`, which is `transport_closed_at` | nowhere |

A client has offsets if each of its events ended with one since the session began or was last
resumed. A lower offset that it presents wins: the server may assume that it has received more. A
client keeps its last offset when it gets a new session, and presents it until an event comes. Where
the log was replaced before, that is no place in it: what comes next may have lower IDs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from constellation_ws.log.places import Place, is_before, is_behind, later

MAX_CHANGES = 1_000
"""Changes of rooms that are retained; above it the session is resumed from the later ones only."""


class DeliveryProof(NamedTuple):
    """What is known of a session whose client reconnects."""

    begin: Place
    has_offsets: bool
    proven: Place
    transport_closed_at: Place | None
    """Nothing later was sent; None where the pod died, and it is not known."""
    stale_offset: Place | None = None
    """What its client presented when the session began, if that was later than `begin`."""


class Start(NamedTuple):
    """From where a session is resumed."""

    after: Place
    uncertain_until: Place | None
    """An event after the start and up to here may or may not have arrived; None for any."""


def resume_from(proof: DeliveryProof, offset: Place | None) -> Start:
    """Decide from where a session is resumed; `offset` is what its client presents, if anything."""
    if proof.has_offsets:
        if offset is None or offset == proof.stale_offset:
            offset = proof.begin
        after = later(proof.begin, offset)
        return Start(after, after)
    if proof.transport_closed_at is None:
        return Start(proof.proven, None)
    return Start(proof.proven, later(proof.proven, proof.transport_closed_at))


class RoomChange(NamedTuple):
    """A session entered or left a room: what comes after `at` is, or is not, its to read."""

    at: Place
    room: str
    is_in: bool


class Ticket:
    """A session of a member of this pod. `owner` names the connection that holds it."""

    __slots__ = (
        "attempts",
        "begin",
        "changes",
        "close_sent_at",
        "epoch",
        "has_offsets",
        "horizon",
        "is_stored",
        "owner",
        "pid",
        "pinged_at",
        "proven",
        "rooms",
        "rooms_at",
        "sid",
        "stale_offset",
        "transport_closed_at",
        "unsaved",
        "user",
    )

    def __init__(
        self,
        pid: str,
        owner: str,
        user: str,
        sid: str,
        rooms: Collection[str],
        *,
        epoch: str,
        begin: Place,
        has_offsets: bool,
        stale_offset: Place | None = None,
    ) -> None:
        self.pid, self.owner, self.user = pid, owner, user
        self.sid = sid
        """The member's own room: its sid behind the scope of its namespace."""
        self.rooms = rooms
        """The member's own rooms, as they are; a copy once it has left."""
        self.epoch = epoch
        """The history of the log that its positions are of; empty where that is not known."""
        self.begin = begin
        """All up to this place was before its time, or has been replayed to it."""
        self.horizon = begin
        """How its rooms changed before this place is forgotten: it is not resumed from there."""
        self.has_offsets = has_offsets
        """Whether its client has been given offsets since it began."""
        self.stale_offset = stale_offset  # see `DeliveryProof`
        self.proven = begin
        """All up to this place has reached its client."""
        self.rooms_at: Place | None = None
        """Up to where its rooms follow the log; None while they do."""
        self.pinged_at: Place | None = None
        self.close_sent_at: Place | None = None
        self.transport_closed_at: Place | None = None
        self.changes: tuple[RoomChange, ...] = ()  # of its rooms, since the horizon
        self.unsaved: set[str] | None = None
        """Rooms of which a change is not written yet; None for none."""
        self.is_stored = False
        """Whether it has been written at all: then changes alone are."""
        self.attempts = 0  # in a row, without its client coming further

    @property
    def proof(self) -> DeliveryProof:
        """What a resume may rely on."""
        return DeliveryProof(
            self.begin,
            self.has_offsets,
            self.proven,
            self.transport_closed_at,
            self.stale_offset,
        )

    def resumed(
        self, changes: tuple[RoomChange, ...], unsaved: Collection[str], attempts: int
    ) -> None:
        """Go on from what is stored: changes since its begin, and rooms that are not written."""
        self.changes, self.unsaved = changes, set(unsaved)
        self.is_stored, self.attempts = True, attempts

    def go_on(
        self,
        *,
        proven: Place,
        pinged_at: Place | None,
        horizon: Place,
        changes: tuple[RoomChange, ...],
        unsaved: Collection[str],
        is_stored: bool,
        attempts: int,
    ) -> None:
        """Go on from what another pod has held; what is unsaved is written by this one."""
        self.proven, self.pinged_at, self.horizon = proven, pinged_at, horizon
        self.resumed(changes, unsaved, attempts)
        self.is_stored = is_stored

    def stored(self, is_stored: bool) -> None:
        """Note whether it is in Redis."""
        self.is_stored = is_stored

    def pinged(self, at: Place) -> None:
        """Note that a PING was written behind all up to `at`."""
        self.pinged_at = at

    def ponged(self) -> None:
        """Note that the last PING was answered."""
        if self.pinged_at is not None:
            self.proven = later(self.proven, self.pinged_at)

    def close_sent(self, at: Place) -> None:
        """Note that our Close frame was written behind all up to `at`."""
        if self.transport_closed_at is None:
            self.close_sent_at = at

    def close_acknowledged(self) -> None:
        """Note that the Close frame was answered: all before it has arrived, and nothing else."""
        if self.close_sent_at is not None:
            self.proven = later(self.proven, self.close_sent_at)
            self.transport_closed_at = self.proven

    def transport_closed(self, at: Place) -> None:
        """Note that the transport is gone. The session keeps the rooms that it has now."""
        self.transport_closed_at = at if self.close_sent_at is None else self.close_sent_at
        self.rooms, self.rooms_at = frozenset(self.rooms), at

    def moved(self, room: str, at: Place, *, is_in: bool) -> None:
        """Note that it is in a room, or no more, from the place `at` on."""
        if self.unsaved is None:
            self.unsaved = set()
        self.unsaved.add(room)
        if (
            is_in
            and not is_behind(self.horizon, at)
            and all(one.room != room for one in self.changes)
        ):
            return  # as if it had always been there: most clients join before the next entry
        self.changes = (*self.changes, RoomChange(at, room, is_in))
        if len(self.changes) > MAX_CHANGES:
            self.discard_before(self.changes[len(self.changes) // 2].at)

    def discard_before(self, horizon: Place) -> None:
        """Drop the changes before a place from which nobody is resumed any more."""
        if self.changes and is_before(self.changes[0].at, horizon):
            old = {one.room for one in self.changes if is_before(one.at, horizon)}
            self.changes = tuple(one for one in self.changes if not is_before(one.at, horizon))
            self.unsaved = (self.unsaved or set()) | old
            self.horizon = later(self.horizon, horizon)
