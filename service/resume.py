"""The story of one resume: who comes back, what it missed, where it goes on.

As `socket.io-client` 4.6+ speaks it: CONNECT answers `{sid, pid}`; a client that returns presents
the pid and the offset of the last event that it has seen; the same pid in the answer means that
everything in between has been sent. Recovered is all or nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Any

import structlog

from service.auth import Identity
from service.events import UserId, user_room
from service.history import History, LogId, format_id
from service.metrics import Metrics
from service.missed import Backlog, Outcome
from service.redis_link import RedisUnavailable
from service.redis_log import RedisLog
from service.replay import Read, Replay, ReplayLimits
from service.rooms import Member, Rooms, Ticket
from service.session_store import SessionRecord, SessionStore, Taken
from service.tracing import Tracing, act
from service.welcome import Welcome

log = structlog.get_logger(__name__)

_SAVE_SECONDS = 1.0
"""How long a connect or a join waits to be written: Redis may be away, and chat goes on."""
_REFRESHES_PER_WINDOW = 4
_RECOVERY_CLAIM = "recovery"


class Offsets(StrEnum):
    """Which sockets get the log's offset with each event: a strict client trips over it."""

    AUTO = "auto"
    """Those that asked (`auth.recovery: true`) or have presented a pid."""
    ALWAYS = "always"


FindLost = Callable[[Identity, Iterable[str]], Awaitable[frozenset[str] | None]]
"""Says which of some rooms somebody may be in no more; None where that cannot be told."""


class Recovery:
    """The sessions of this pod's members. `run` must run in one task while the process lives."""

    def __init__(
        self,
        instance: str,
        redis_log: RedisLog,
        store: SessionStore,
        history: History,
        rooms: Rooms,
        metrics: Metrics,
        *,
        read: Read,
        offsets: Offsets,
        limits: ReplayLimits,
        window_seconds: float,
        close: Callable[[Member, str], None],
        fence: Callable[[str, str], None],
        find_lost: FindLost | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Without `find_lost` a session keeps its rooms, unless the log says otherwise."""
        self._instance = instance
        self._log = redis_log
        self.backlog = Backlog(redis_log, history, read, limits, window_seconds)
        self._store = store
        self._rooms = rooms
        self._metrics = metrics
        self._offsets = offsets
        self._window_seconds = window_seconds
        self._close = close
        self._fence = fence
        self._find_lost = find_lost
        self._tracing = tracing
        self._owners = itertools.count()
        store.on_fenced = self.fence

    # Coming

    async def open(self, member: Member, user: UserId, auth: Any) -> Welcome:
        """Give a member its session: the one that it claims, or a new one.

        It is written when this returns: any pod can resume what a client was answered. The caller
        has authenticated the user and puts a new member into its user's room; a recovered one is in
        its rooms by then, and has received nothing yet.
        """
        claim = auth if isinstance(auth, dict) else {}
        owner = f"{self._instance}.{next(self._owners)}"
        wants_offsets = self._offsets is Offsets.ALWAYS or claim.get(_RECOVERY_CLAIM) is True
        pid = claim.get("pid")
        if isinstance(pid, str) and 0 < len(pid) <= 64:
            wants_offsets = True  # only a client that can resume presents one
            with act(self._tracing, "replay") as span:
                outcome, welcome = await self._resume(member, user, pid, owner, claim.get("offset"))
                span.set_attribute("constellation.outcome", outcome.value)
                span.set_attribute("constellation.events", len(welcome.missed) if welcome else 0)
            self._metrics.recoveries.labels(outcome.value).inc()
            if welcome is not None:
                return welcome
            log.debug("not recovered", outcome=outcome.value, user=user)
        member.wants_offsets = wants_offsets
        member.ticket = Ticket(secrets.token_urlsafe(15), owner, self._log.delivered)
        welcome = Welcome(member.ticket.pid, [], is_recovered=False)
        await self._written(self._save(member, rooms={user_room(user)}))
        return welcome

    async def _resume(
        self, member: Member, user: UserId, pid: str, owner: str, offset: object
    ) -> tuple[Outcome, Welcome | None]:
        try:
            taken = await self._store.take(pid, user, owner)
            if taken is None:
                return Outcome.UNKNOWN, None
            lost = await self._lost(member, taken.record)
            found = await self.backlog.find(taken.record, offset, lost)
        except RedisUnavailable:
            return Outcome.UNAVAILABLE, None
        if isinstance(found, Outcome):
            self._store.drop(pid, owner)
            return found, None
        start, missed = found
        self._settle(member, taken, missed)
        member.wants_offsets = True
        member.ticket = Ticket(pid, owner, start)
        member.ticket.rooms, member.ticket.joined = tuple(missed.rooms), missed.joined
        self._save(member)
        self._metrics.replayed.inc(len(missed.frames))
        return Outcome.RECOVERED, Welcome(pid, missed.frames, is_recovered=True)

    async def _lost(self, member: Member, record: SessionRecord) -> frozenset[str] | None:
        """Ask about the rooms of a session before it enters them."""
        if self._find_lost is None:
            return frozenset()
        assert member.identity is not None, "authenticated by the caller"
        return await self._find_lost(member.identity, record.rooms)

    def _settle(self, member: Member, taken: Taken, missed: Replay) -> None:
        """Let the member be who it was; an older connection of the same session is no more."""
        former = self._rooms.by_sid(taken.record.sid)
        if former is not None and former is not member:
            self._rooms.remove(former)
            former.ticket = None
            self._close(former, "fenced")
        elif not taken.former_owner.startswith(f"{self._instance}."):
            self._fence(taken.record.sid, taken.former_owner)
        self._rooms.rename(member, taken.record.sid)
        for room in missed.rooms:
            self._rooms.enter(member, room)

    def fence(self, sid: str, owner: str) -> None:
        """Close a connection whose session belongs to another one by now."""
        member = self._rooms.by_sid(sid)
        if member is not None and member.ticket is not None and member.ticket.owner == owner:
            member.ticket = None
            self._close(member, "fenced")

    # Staying

    async def saved(self, member: Member) -> None:
        """Write that a member's rooms have changed, and wait for it, though not for ever.

        A join is answered when it would survive this pod; a Redis that is away does not stop chat.
        """
        await self._written(self._save(member))

    async def _written(self, done: asyncio.Future[None] | None) -> None:
        if done is not None:
            await asyncio.wait({done}, timeout=_SAVE_SECONDS)

    def touch(self, member: Member) -> None:
        """Write soon that a member's rooms have changed, by an entry of the batch of now."""
        self._save(member, joined_after=self._log.delivered_before)

    def pinged(self, eio_sid: str) -> None:
        """Take note of what had been written when a ping was."""
        member = self._rooms.by_eio_sid(eio_sid)
        if member is not None and member.ticket is not None:
            member.ticket.pinged_at = self._log.delivered

    def ponged(self, eio_sid: str) -> None:
        """Take note that all that was written before the ping has arrived."""
        member = self._rooms.by_eio_sid(eio_sid)
        if member is not None and member.ticket is not None and member.ticket.pinged_at:
            member.ticket.position = max(member.ticket.position, member.ticket.pinged_at)

    async def run(self, tell: Callable[[], None]) -> None:
        """Keep the sessions of connected members alive in Redis, for ever; `tell` at each step."""
        refresh_seconds = self._window_seconds / _REFRESHES_PER_WINDOW
        due: list[Member] = []
        while True:
            started = time.monotonic()
            due = list(self._rooms)
            per_second = max(1, len(due) / refresh_seconds)
            while due or time.monotonic() - started < refresh_seconds:
                tell()
                batch = [due.pop() for _ in range(min(len(due), int(per_second) + 1))]
                for member in batch:
                    self._save(member)
                await asyncio.sleep(1)

    # Leaving

    def leave(self, member: Member, *, for_good: bool) -> None:
        """Keep the session of a member that has left for the window, or drop it."""
        if member.ticket is None:
            return
        if for_good:
            self._store.drop(member.ticket.pid, member.ticket.owner)
        else:
            self._save(member, lifetime_seconds=self._window_seconds)
        member.ticket = None

    def release(self, member: Member) -> None:
        """Take note where a member stands that is about to be closed after all was sent to it.

        Called in the same step as the close. Where bytes still wait for a slow client, what will
        have reached it is not known, and nothing is noted.
        """
        if member.ticket is not None and member.socket.is_flushed:
            member.ticket.position, member.ticket.is_exact = self._log.delivered, True

    async def flush(self) -> None:
        """Wait until every session is written."""
        await self._store.flush()

    def forget_all(self) -> list[Member]:
        """Drop every session, since events were lost that nobody can name; give the members."""
        members = list(self._rooms)
        for member in members:
            self.leave(member, for_good=True)
        return members

    def _save(
        self,
        member: Member,
        *,
        rooms: set[str] | None = None,
        lifetime_seconds: float = 0,
        joined_after: LogId | None = None,
    ) -> asyncio.Future[None] | None:
        """Write soon what a member's session is; `rooms` where it is not in them yet."""
        ticket = member.ticket
        if ticket is None or member.user is None:
            return None
        _note_rooms(ticket, rooms or member.rooms, joined_after or self._log.delivered)
        record = SessionRecord(
            user=member.user,
            sid=member.sid,
            rooms=list(ticket.rooms),
            joined={room: format_id(at).decode() for room, at in (ticket.joined or {}).items()},
            position=format_id(ticket.position).decode(),
            rooms_at=format_id(self._log.delivered).decode(),
            is_exact=ticket.is_exact or member.wants_offsets,
        )
        # A connected one is refreshed several times per window; a killed pod's live on as long.
        lifetime = lifetime_seconds or self._window_seconds * (1 + 2 / _REFRESHES_PER_WINDOW)
        return self._store.save(ticket.pid, ticket.owner, record, lifetime)


def _note_rooms(ticket: Ticket, rooms: set[str], joined_after: LogId) -> None:
    """Take note of which rooms are new, as long as what was said there before might be replayed."""
    joined = {
        **(ticket.joined or {}),
        **dict.fromkeys(rooms.difference(ticket.rooms), joined_after),
    }
    late = {room: at for room, at in joined.items() if at > ticket.position and room in rooms}
    ticket.rooms, ticket.joined = tuple(rooms), late or None
