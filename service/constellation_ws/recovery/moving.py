"""Sessions that move from one pod to another while their client stays: what of the log goes along.

A resume begins with a client that has left and with what Redis knows. Here both pods are there: the
one that gives a session away says how far it has delivered, and the other one goes on from exactly
there, by the same walk through the log.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from constellation_ws.delivery.rooms import Member
from constellation_ws.log.ids import LogId
from constellation_ws.log.positions import DeliveryProof, RoomChange, Ticket
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.messages.events import UserId
from constellation_ws.recovery.missed import Found, MissedEvents
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

_REACH_SECONDS = 1.0
"""How long a pod may take to have delivered as much as the one that gives a session away."""


class LogPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where in the log a session is: all up to here has been written to its client."""

    epoch: str
    delivered: LogId


class MovedTicket(msgspec.Struct, frozen=True, array_like=True):
    """What a session is known by, see `Ticket`."""

    position: LogPosition
    pid: str
    owner: str
    user: str
    begin: LogId
    horizon: LogId
    has_offsets: bool
    proven: LogId
    pinged_at: LogId | None
    changes: list[tuple[LogId, str, bool]]
    unsaved: list[str]
    is_stored: bool
    attempts: int


class MovingSessions:
    """Gives sessions away, and goes on with those of other pods."""

    can_move = True

    def __init__(
        self,
        redis_log: RedisLog,
        store: SessionStore,
        sessions: Sessions,
        missed_events: MissedEvents,
    ) -> None:
        self._log = redis_log
        self._store = store
        self._sessions = sessions
        self._missed_events = missed_events

    # Away

    def position_of(self, member: Member) -> LogPosition | None:
        """Say where a member's session is; None where it cannot move now."""
        ticket, epoch = member.ticket, self._log.epoch
        if ticket is None or epoch is None or ticket.epoch != epoch:
            return None
        return LogPosition(epoch, self._log.delivered)

    def can_release(self, member: Member) -> bool:
        """Whether a member's session can be given away now."""
        ticket = member.ticket
        return (
            ticket is not None
            and self.position_of(member) is not None
            and not self._store.is_writing(ticket)
        )

    def release(self, member: Member) -> MovedTicket | None:
        """Give a member's session away; None, and it stays, where that cannot be done now."""
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
        )

    # Here

    async def expects(self, position: LogPosition) -> bool:
        """Tell whether a session could go on here from such a position."""
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                if await self._log.current() != position.epoch:
                    return False
                await self._log.reached(position.delivered)
        except TimeoutError:
            return False
        return True

    async def find(self, ticket: MovedTicket, own_room: str, rooms: frozenset[str]) -> Found | None:
        """Find what a session has to be sent that has been delivered here since its position.

        Nothing waits between the finding and the return. None where it cannot be found.
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
        """Let a member hold its session, which is written from here on."""
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
    )


def _changes_of(moved: MovedTicket) -> tuple[RoomChange, ...]:
    return tuple(RoomChange(at, room, is_in) for at, room, is_in in moved.changes)
