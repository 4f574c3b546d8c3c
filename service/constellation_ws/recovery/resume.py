"""Resuming a session: who reconnects, what it missed, and from where it continues.

As `socket.io-client` 4.6+ speaks it: CONNECT answers `{sid, pid}`; a client that reconnects
presents the pid and the offset of the last event that it has seen; the same pid in the answer means
that everything in between has been sent. Recovered is all or nothing.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from constellation_ws.auth.identity import Identity
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.delivery.welcome import Welcome
from constellation_ws.log import places
from constellation_ws.log.logs import Logs, first_of
from constellation_ws.log.positions import Ticket
from constellation_ws.messages.events import UserId
from constellation_ws.messages.namespaces import scope_of
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.recovery.missed import Found, MissedEvents, ResumeOutcome
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

_MAX_ATTEMPTS = 5
"""Resumes in a row from the same offset: an event that a client cannot handle must not cut it off
for ever."""
_RECOVERY_KEY = "recovery"


class Offsets(StrEnum):
    """Which sockets get the log's offset with each event: a strict client trips over it."""

    AUTO = "auto"
    """Those that asked (`auth.recovery: true`) or have presented a pid."""
    ALWAYS = "always"


FindRevoked = Callable[[Identity, Iterable[str]], Awaitable[frozenset[str] | None]]
"""Returns which of some rooms a user may not be in any more; None if that is not known."""


class Recovery:
    """Gives members their sessions: new ones, or those that they resume."""

    def __init__(
        self,
        instance: str,
        logs: Logs,
        store: SessionStore,
        sessions: Sessions,
        missed_events: MissedEvents,
        rooms: Rooms,
        metrics: Metrics,
        *,
        offsets: Offsets,
        close: Callable[[Member, str], None],
        fence: Callable[[str, str], None],
        find_revoked: FindRevoked | None = None,
        tracing: Tracing | NoTracing = NO_TRACING,
    ) -> None:
        """`fence` lets other pods close the connection of a (sid, owner).

        Without `find_revoked` a session keeps its rooms, unless the log says otherwise.
        """
        self._instance = instance
        self._log = logs
        self._store = store
        self._sessions = sessions
        self._missed_events = missed_events
        self._rooms = rooms
        self._metrics = metrics
        self._offsets = offsets
        self._close = close
        self._fence = fence
        self._find_revoked = find_revoked
        self._tracing = tracing
        self._owners = itertools.count()
        self._resuming: dict[str, str] = {}
        """The latest connection of this pod that resumes a session, by the session's pid."""

    async def open(self, member: Member, user: UserId, auth: Any) -> Welcome:
        """Give a member its session: the one whose pid it presents, or a new one.

        It is written when this returns, unless Redis cannot write now. The caller has authenticated
        the user and puts a new member into its user's room; a recovered one is in its rooms by
        then, and has received nothing yet.
        """
        presented = auth if isinstance(auth, dict) else {}
        owner = f"{self._instance}.{next(self._owners)}"
        has_offsets = self._offsets is Offsets.ALWAYS or presented.get(_RECOVERY_KEY) is True
        pid, offset = presented.get("pid"), presented.get("offset")
        if isinstance(pid, str) and 0 < len(pid) <= 64:
            has_offsets = True  # only a client that can resume presents one
            with self._tracing.act("replay") as span:
                outcome, welcome = await self._resume(member, user, pid, owner, offset)
                span.set_attribute("constellation.outcome", outcome.value)
                span.set_attribute("constellation.events", len(welcome.missed) if welcome else 0)
            self._metrics.recoveries.labels(outcome.value).inc()
            if welcome is not None:
                return welcome
            logger.debug("not recovered", outcome=outcome.value, user=user)
        member.give_offsets(has_offsets)
        return await self._open_new(member, user, owner, offset)

    async def _open_new(self, member: Member, user: UserId, owner: str, offset: Any) -> Welcome:
        presented = places.read(offset, len(self._log)) if isinstance(offset, str) else None
        delivered = self._log.delivered
        is_stale = presented is not None and places.is_behind(delivered, presented)
        ticket = Ticket(
            secrets.token_urlsafe(15),
            owner,
            user,
            member.own_room,
            member.rooms,
            epoch=self._log.known_epoch,
            begin=delivered,
            has_offsets=member.has_offsets,
            stale_offset=presented if is_stale else None,
        )
        done = self._sessions.begin(member, ticket)
        if not self._store.is_failing:
            await self._sessions.written(done)
        return Welcome(ticket.pid, [], is_recovered=False)

    async def _resume(
        self, member: Member, user: UserId, pid: str, owner: str, offset: object
    ) -> tuple[ResumeOutcome, Welcome | None]:
        self._resuming[pid] = owner
        try:
            acquired = await self._store.acquire(pid, user, owner)
            if acquired is None:
                return ResumeOutcome.UNKNOWN, None
            if acquired.record is None:
                self._store.discard(pid, owner)
                return ResumeOutcome.UNREADABLE, None
            if scope_of(acquired.record.sid) != member.scope:
                self._store.discard(pid, owner)
                return ResumeOutcome.UNKNOWN, None
            if acquired.epoch != first_of(acquired.record.epoch):
                self._store.discard(pid, owner)
                return ResumeOutcome.OTHER_EPOCH, None
            revoked = await self._revoked_rooms(member, acquired.record)
            found = await self._missed_events.find(acquired.record, user, offset, revoked)
            if self._resuming.get(pid) != owner:
                return ResumeOutcome.SUPERSEDED, None
        except RedisUnavailable:
            return ResumeOutcome.UNAVAILABLE, None
        finally:
            if self._resuming.get(pid) == owner:
                del self._resuming[pid]
        if isinstance(found, ResumeOutcome):
            self._store.discard(pid, owner)
            return found, None
        attempts = acquired.record.attempts + 1 if found.is_repeated else 0
        if attempts >= _MAX_ATTEMPTS:
            self._store.discard(pid, owner)
            return ResumeOutcome.STUCK, None
        resumed = _Resumed(acquired.record, acquired.former_owner, found, attempts)
        self._restore(member, pid, owner, user, resumed)
        self._metrics.replayed.inc(len(found.frames))
        return ResumeOutcome.RECOVERED, Welcome(pid, found.frames, is_recovered=True)

    async def _revoked_rooms(self, member: Member, record: SessionRecord) -> frozenset[str] | None:
        """Return which rooms of a session its user may not be in any more."""
        if self._find_revoked is None:
            return frozenset()
        assert member.identity is not None, "authenticated by the caller"
        return await self._find_revoked(member.identity, record.final_rooms)

    def _restore(
        self, member: Member, pid: str, owner: str, user: UserId, resumed: _Resumed
    ) -> None:
        """Restore a member's sid, rooms and session, and close the session's older connection."""
        record, found = resumed.record, resumed.found
        former = self._rooms.by_own_room(record.sid)
        if former is not None and former is not member:
            self._rooms.remove(former)
            former.hold(None)
            self._close(former, "fenced")
        else:  # also where this pod began it: it may have moved to another one since
            self._fence(record.sid, resumed.former_owner)
        self._rooms.rename(member, record.sid.removeprefix(member.scope))
        for room in found.rooms:
            self._rooms.enter(member, room)
        member.give_offsets()
        ticket = Ticket(
            pid,
            owner,
            user,
            record.sid,
            member.rooms,
            epoch=record.epoch,
            begin=found.after,
            has_offsets=True,
            stale_offset=record.proof.stale_offset,
        )
        ticket.resumed(found.changes, found.unsaved, resumed.attempts)
        self._sessions.begin(member, ticket)

    def fence(self, sid: str, owner: str) -> None:
        """Close a connection whose session now belongs to another one."""
        member = self._rooms.by_own_room(sid)
        if member is not None and member.ticket is not None and member.ticket.owner == owner:
            member.hold(None)
            self._close(member, "fenced")


@dataclass(frozen=True, slots=True)
class _Resumed:
    """A session that can be resumed, and where it was."""

    record: SessionRecord
    former_owner: str
    found: Found
    attempts: int
