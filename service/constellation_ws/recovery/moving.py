"""Sessions that move to another pod while their client stays connected: their part of the log.

A resume starts from what Redis has stored of a client that disconnected. For a move both pods are
available: the former one states the place up to which it has delivered, and the new one delivers
from there on, by the same walk through the log as a resume.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from constellation_ws.delivery.rooms import Member
from constellation_ws.log.logs import Logs
from constellation_ws.log.places import Place
from constellation_ws.log.positions import DeliveryProof, RoomChange, Ticket
from constellation_ws.messages.events import UserId
from constellation_ws.recovery.missed import Found, MissedEvents
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

_REACH_SECONDS = 1.0
"""How long this pod may take to deliver as much as the pod that the session comes from."""


class LogPosition(msgspec.Struct, frozen=True, array_like=True):
    """How far a session has come: all up to this place was written to its client."""

    epoch: str
    delivered: Place


class MovedTicket(msgspec.Struct, frozen=True, array_like=True):
    """A `Ticket` as one pod sends it to another."""

    position: LogPosition
    pid: str
    owner: str
    user: str
    begin: Place
    horizon: Place
    has_offsets: bool
    proven: Place
    pinged_at: Place | None
    changes: list[tuple[Place, str, bool]]
    unsaved: list[str]
    is_stored: bool
    attempts: int
    stale_offset: Place | None = None


class MovingSessions:
    """Releases sessions to other pods, and continues those that come from them."""

    can_move = True

    def __init__(
        self,
        logs: Logs,
        store: SessionStore,
        sessions: Sessions,
        missed_events: MissedEvents,
    ) -> None:
        self._log = logs
        self._store = store
        self._sessions = sessions
        self._missed_events = missed_events

    # Away

    def position_of(self, member: Member) -> LogPosition | None:
        """Return where a member's session is; None where it cannot move now."""
        ticket, epoch = member.ticket, self._log.epoch
        if ticket is None or epoch is None or ticket.epoch != epoch:
            return None
        return LogPosition(epoch, self._log.delivered)

    def can_release(self, member: Member) -> bool:
        """Return whether a member's session can be released now."""
        ticket = member.ticket
        return (
            ticket is not None
            and self.position_of(member) is not None
            and not self._store.is_writing(ticket)
        )

    def release(self, member: Member) -> MovedTicket | None:
        """Release a member's session to another pod; None if it has to stay."""
        ticket, position = member.ticket, self.position_of(member)
        if ticket is None or position is None or not self._store.withdraw(ticket):
            return None
        member.hold(None)
        return MovedTicket(
            position,
            ticket.pid,
            ticket.owner,
            ticket.user,
            ticket.begin,
            ticket.horizon,
            ticket.has_offsets,
            ticket.proven,
            ticket.pinged_at,
            [(change.at, change.room, change.is_in) for change in ticket.changes],
            sorted(ticket.unsaved or ()),
            ticket.is_stored,
            ticket.attempts,
            ticket.stale_offset,
        )

    # Here

    async def expects(self, position: LogPosition) -> bool:
        """Wait until this pod has delivered up to a position; False if that takes too long."""
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                if await self._log.current() != position.epoch:
                    return False
                await self._log.reached(position.delivered)
        except TimeoutError:
            return False
        return True

    async def find(self, ticket: MovedTicket, own_room: str, rooms: frozenset[str]) -> Found | None:
        """Find the events after a session's position that were delivered here; None if impossible.

        There is no `await` between finding them and returning.
        """
        position = ticket.position
        record = SessionRecord(
            own_room,
            position.epoch,
            DeliveryProof(position.delivered, True, position.delivered, None),
            horizon=position.delivered,
            rooms_at=position.delivered,
            attempts=ticket.attempts,
            rooms=rooms,
            changes=(),
        )
        try:
            found = await self._missed_events.find(record, UserId(ticket.user), None, frozenset())
        except RedisUnavailable:
            return None
        if not isinstance(found, Found):
            logger.warning("a session that has moved here cannot go on", outcome=found.value)
            return None
        return found

    def go_on(self, member: Member, moved: MovedTicket, found: Found) -> None:
        """Attach a session that has moved here to its member; this pod writes it from now on."""
        ticket = _ticket_of(moved, member)
        ticket.go_on(
            proven=moved.proven,
            pinged_at=moved.pinged_at,
            horizon=moved.horizon,
            changes=(*_changes_of(moved), *found.changes),
            unsaved={*moved.unsaved, *found.unsaved},
            is_stored=moved.is_stored,
            attempts=moved.attempts,
        )
        if ticket.is_stored and not ticket.unsaved:
            member.hold(ticket)  # all of it is written; it is refreshed with all others
        else:
            self._sessions.begin(member, ticket)


def _ticket_of(moved: MovedTicket, member: Member) -> Ticket:
    return Ticket(
        moved.pid,
        moved.owner,
        moved.user,
        member.own_room,
        member.rooms,
        epoch=moved.position.epoch,
        begin=moved.begin,
        has_offsets=moved.has_offsets,
        stale_offset=moved.stale_offset,
    )


def _changes_of(moved: MovedTicket) -> tuple[RoomChange, ...]:
    return tuple(RoomChange(at, room, is_in) for at, room, is_in in moved.changes)
