"""What a session has missed: from this pod's memory, read back from the log, or why not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from enum import StrEnum

from service.history import History, LogId, parse_id
from service.readback import SLICE, Gone, Readback
from service.redis_log import RedisLog
from service.replay import Entries, Read, Replay, ReplayLimits, Walk
from service.session_store import SessionRecord

_REACH_SECONDS = 2.0
"""How long a client that is ahead of this pod's view of the log is waited for."""
_DEADLINE_SECONDS = 20.0
"""How long finding what one session missed may take: its turn in a storm, and reading back."""
_HOT_BYTES = 8 * 1024 * 1024
_TICK_SECONDS = 0.25
_SLICES_PER_TICK = 5
"""The index keeps up with two thousand events a second, at less than a hundredth of a core. Above
that it is brought up to date when somebody resumes."""
_MARGIN_SECONDS = 10.0
"""Kept beyond the window in which sessions can be resumed."""


class Outcome(StrEnum):
    """What became of an attempt to resume."""

    RECOVERED = "recovered"
    UNKNOWN = "unknown"
    """No such session for this user: expired, never written, or another user's."""
    GONE = "gone"
    """The log no longer reaches back to where the client was."""
    TOO_MUCH = "too_much"
    UNPROVEN = "unproven"
    """What the client has seen of what it was sent cannot be known."""
    ACCESS_UNAVAILABLE = "access_unavailable"
    """Whether it may still be in one of its rooms cannot be told."""
    UNAVAILABLE = "unavailable"


class Backlog:
    """Finds what sessions missed in one log. `run` and `read_back` must run in one task each while
    the process lives."""

    def __init__(
        self,
        redis_log: RedisLog,
        history: History,
        read: Read,
        limits: ReplayLimits,
        window_seconds: float,
    ) -> None:
        """Nobody resumes from before the window."""
        self._log = redis_log
        self._history = history
        self._limits = limits
        self._keep_ms = int((window_seconds + _MARGIN_SECONDS) * 1000)
        self._entries = Entries(read, _HOT_BYTES)
        readback = Readback(redis_log.reader, history, self._entries)
        self._lead, self.read_back = readback.lead, readback.run
        self._turn = asyncio.Lock()
        """Held by the one resume that works: of two thousand that come at once each would hold up
        the event loop for a slice only, but all of them together for seconds."""
        self._seen_last: LogId | None = None
        self._seen_last_at = 0.0

    async def find(
        self, record: SessionRecord, offset: object, lost: frozenset[str] | None
    ) -> tuple[LogId, Replay] | Outcome:
        """Find what a session missed, up to what this pod has delivered by now, and since when.

        `lost` are rooms that it may be in no more, None where that cannot be told. Nothing waits
        between the finding and the return: what is delivered later is not in it. Raises
        RedisUnavailable.
        """
        if lost is None:
            return Outcome.ACCESS_UNAVAILABLE
        start = parse_id(record.position)
        claimed = parse_id(offset) if isinstance(offset, str) else None
        if start is None:
            return Outcome.UNKNOWN
        start = max(start, claimed or start)
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                await self._log.reached(start)
        except TimeoutError:
            return Outcome.GONE  # of a log that is no more, or made up
        missed = await self._missed(record, start, parse_id(record.rooms_at) or start, lost)
        if isinstance(missed, Outcome):
            return missed
        if claimed is None and not record.is_exact and missed.frames:
            return Outcome.UNPROVEN
        return start, missed

    async def _missed(
        self, record: SessionRecord, start: LogId, rooms_at: LogId, lost: Set[str]
    ) -> Replay | Outcome:
        """Find what a session missed after `start`. Its rooms are as of `rooms_at`.

        What ended its membership may lie before what it says that it has seen. Nothing waits
        between the finding and the return. Raises RedisUnavailable.
        """
        starts = self._history.starts
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                walk = self._walk(record, start, rooms_at, lost)
                while not await self._is_through(walk):
                    if not await self._lead(walk):
                        walk = self._walk(record, start, rooms_at, lost)
        except TimeoutError:
            return Outcome.TOO_MUCH
        except Gone:
            return Outcome.GONE
        if self._history.starts != starts:
            return Outcome.GONE  # the log was replaced meanwhile
        return Outcome.TOO_MUCH if walk.is_too_much else walk.end()

    def _walk(self, record: SessionRecord, start: LogId, rooms_at: LogId, lost: Set[str]) -> Walk:
        rooms = [room for room in record.rooms if room not in lost]
        joined = {
            room: parse_id(record.joined[room]) or start for room in rooms if room in record.joined
        }
        return Walk(record.sid, rooms, joined, rooms_at=rooms_at, seen=start, limits=self._limits)

    async def _is_through(self, walk: Walk) -> bool:
        """Walk through memory to its end; False where it does not reach back to the walk."""
        history, find = self._history, self._entries.concerned
        async with self._turn:
            await asyncio.sleep(0)
            budget, before = SLICE, 0
            while walk.cursor >= history.floor:
                left = history.unindexed(walk.cursor)
                if left >= before > 0:
                    budget *= 2  # more is delivered than that
                before = left
                is_indexed = history.index(find, budget, walk.cursor)
                if (
                    walk.advance(history, self._entries, budget) and is_indexed
                ) or walk.is_too_much:
                    return True
                await asyncio.sleep(0)
        return False

    async def run(self, tell: Callable[[], None]) -> None:
        """Keep the memory in order, for ever; `tell` at each step."""
        while True:
            tell()
            self.expire(time.monotonic())
            for _ in range(_SLICES_PER_TICK):
                if self._history.index(self._entries.concerned, SLICE):
                    break
                await asyncio.sleep(0)
            await asyncio.sleep(_TICK_SECONDS)

    def expire(self, now_seconds: float) -> None:
        """Forget what nobody can resume from any more, also while nothing new comes.

        The log's own time, the only one that its IDs can be compared with, goes on from the last
        entry by this process's monotonic clock.
        """
        last = self._history.last
        if last != self._seen_last:
            self._seen_last, self._seen_last_at = last, now_seconds
        idle_ms = int((now_seconds - self._seen_last_at) * 1000)
        self._history.expire(last[0] + idle_ms, self._keep_ms)
        self._entries.expire()
