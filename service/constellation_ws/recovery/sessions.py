"""The sessions of this pod's members, stored so that any pod can resume them: see `resume`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable

import structlog

from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.log import places
from constellation_ws.log.logs import Logs
from constellation_ws.log.positions import Ticket
from constellation_ws.recovery.store import SessionStore
from constellation_ws.runtime.bounded_waits import BoundedWaits

logger = structlog.get_logger(__name__)

_SAVE_SECONDS = 1.0
"""How long a join or a leave waits to be written before it is refused."""
_REFRESHES_PER_WINDOW = 4
_ANSWER_SECONDS = 10.0
"""How long the answer to a Close frame may take: the engine aborts the connection before that."""
_MARGIN_SECONDS = 10.0
"""The log reaches back so much further than the window."""


class Sessions:
    """Keeps sessions. `run` and the store's own must run in one task each."""

    def __init__(
        self, logs: Logs, store: SessionStore, rooms: Rooms, *, window_seconds: float
    ) -> None:
        self._log = logs
        self._store = store
        self._rooms = rooms
        self._window_seconds = window_seconds
        self._waits = BoundedWaits(_SAVE_SECONDS)
        self._closed: OrderedDict[str, tuple[float, list[Ticket]]] = OrderedDict()
        """Sessions that we closed and whose client may still acknowledge that, by their Engine.IO
        `sid`, and since when the first of them waits."""

    # Staying

    def begin(self, member: Member, ticket: Ticket) -> asyncio.Future[None]:
        """Give a member a session; the future is done when it is written."""
        member.hold(ticket)
        return self._save(ticket)

    async def written(self, done: asyncio.Future[None]) -> bool:
        """Wait until a session is written; False where that cannot be done in time."""
        return await self._waits.wait(done)

    async def joined(self, member: Member, room: str) -> bool:
        """Write that a member is in a room. If that fails it leaves the room: False."""
        ticket = member.ticket
        if ticket is None:
            return True  # it cannot be resumed
        if await self._moved(ticket, room, is_in=True):
            return True
        self._rooms.leave(member, room)
        self._undo(member, ticket, room, is_in=False)
        return False

    async def left(self, member: Member, room: str) -> bool:
        """Write that a member is about to leave a room; False if that is not possible."""
        ticket = member.ticket
        if ticket is None or room not in member.rooms:
            return True
        if await self._moved(ticket, room, is_in=False):
            return True
        self._undo(member, ticket, room, is_in=True)
        return False

    async def removed(self, member: Member, rooms: Iterable[str]) -> None:
        """Write that a member was removed from rooms, now or as soon as possible."""
        if member.ticket is None:
            return
        for room in rooms:
            member.ticket.moved(room, self._log.delivered, is_in=False)
        await self.written(self._save(member.ticket))

    async def _moved(self, ticket: Ticket, room: str, *, is_in: bool) -> bool:
        ticket.moved(room, self._log.delivered, is_in=is_in)
        done = self._save(ticket)
        return not self._store.is_failing and await self.written(done)

    def _undo(self, member: Member, ticket: Ticket, room: str, *, is_in: bool) -> None:
        if member.ticket is not ticket:
            return  # meanwhile its client has resumed it elsewhere, or has left
        ticket.moved(room, self._log.delivered, is_in=is_in)
        self._save(ticket)

    def touch(self, members: Iterable[Member], room: str, offset: bytes, *, is_in: bool) -> None:
        """Write soon that a log entry has made members enter or leave a room."""
        at = places.read(offset, len(self._log)) or self._log.delivered
        for member in members:
            ticket = member.ticket
            if ticket is not None:
                ticket.moved(room, at, is_in=is_in)
                self._save(ticket)

    def pinged(self, eio_sid: str) -> None:
        """Note what had been written when a PING was."""
        for member in self._rooms.of_session(eio_sid):
            if member.ticket is not None:
                member.ticket.pinged(self._log.delivered)

    def ponged(self, eio_sid: str) -> None:
        """Note that all that was written before the PING has arrived."""
        for member in self._rooms.of_session(eio_sid):
            if member.ticket is not None:
                member.ticket.ponged()

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Refresh the sessions of connected members in Redis, for ever.

        `report_alive` is called every second.
        """
        refresh_seconds = self._window_seconds / _REFRESHES_PER_WINDOW
        due: list[Member] = []
        while True:
            started = time.monotonic()
            due = list(self._rooms)
            per_second = max(1, len(due) / refresh_seconds)
            while due or time.monotonic() - started < refresh_seconds:
                report_alive()
                batch = [due.pop() for _ in range(min(len(due), int(per_second) + 1))]
                for member in batch:
                    self._refresh(member)
                await asyncio.sleep(1)

    def _refresh(self, member: Member) -> None:
        if member.ticket is None:
            return
        kept_ms = int((self._window_seconds + _MARGIN_SECONDS) * 1000)
        member.ticket.discard_before(self._log.before(kept_ms))
        self._save(member.ticket)

    def _save(self, ticket: Ticket, lifetime_seconds: float = 0) -> asyncio.Future[None]:
        # A connected one is refreshed several times per window; a killed pod's live on as long.
        connected_seconds = self._window_seconds * (1 + 2 / _REFRESHES_PER_WINDOW)
        return self._store.save(ticket, lifetime_seconds or connected_seconds)

    # Leaving

    def closing(self, member: Member) -> None:
        """Note that our Close frame is written behind all that was sent to a member.

        Called in the same step as the close. It proves nothing before it is answered.
        """
        if member.ticket is not None:
            member.ticket.close_sent(self._log.delivered)

    def leave(self, member: Member, *, for_good: bool) -> None:
        """Retain the session of a member that has left for the recovery window, or delete it."""
        ticket = member.ticket
        member.hold(None)
        if ticket is None:
            return
        if for_good:
            self._store.drop(ticket)
            return
        ticket.transport_closed(self._log.delivered)
        self._save(ticket, self._window_seconds)
        if ticket.close_sent_at is not None:
            self._await_answer(member.eio_sid, ticket)

    def _await_answer(self, eio_sid: str, ticket: Ticket) -> None:
        now = time.monotonic()
        while self._closed and next(iter(self._closed.values()))[0] < now - _ANSWER_SECONDS:
            self._closed.popitem(last=False)
        self._closed.setdefault(eio_sid, (now, []))[1].append(ticket)

    def close_acknowledged(self, eio_sid: str) -> None:
        """Note that a client has answered our Close frame: all before it has arrived."""
        for member in self._rooms.of_session(eio_sid):
            if member.ticket is not None:
                member.ticket.close_acknowledged()  # it is about to leave
        _, tickets = self._closed.pop(eio_sid, (0.0, ()))
        for ticket in tickets:
            ticket.close_acknowledged()
            self._save(ticket, self._window_seconds)

    async def flush(self) -> None:
        """Wait until every session is written."""
        await self._store.flush()

    def forget(self, members: Collection[Member]) -> None:
        """Delete the sessions of members that may have missed something, it is not known what."""
        for member in members:
            self.leave(member, for_good=True)
