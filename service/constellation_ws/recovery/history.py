"""One partition of the log as sessions walk through it: recent entries, and what is read back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from constellation_ws.log.confirmation import LogConfirmation
from constellation_ws.log.ids import LogId
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.recovery.readback import WORK_UNIT, Readback
from constellation_ws.recovery.replay import DecodedEntries, Read, Walk

_HOT_BYTES = 8 * 1024 * 1024
_TICK_SECONDS = 0.25
_UNITS_PER_TICK = 5
"""The index keeps up with two thousand events a second, at about a hundredth of a core."""
_FLOOD_PER_TICK = 1_000
"""Entries in one tick above which indexing waits: most of them are discarded before a session needs
them, and a session that does indexes them then."""
_MARGIN_SECONDS = 10.0
"""Kept beyond the window in which sessions can be resumed."""


class History:
    """What this pod knows of one partition's past. `run`, `read_back` and `confirm` must run in one
    task each while the process lives."""

    def __init__(self, log: RedisLog, recent_bytes: int, read: Read, window_seconds: float) -> None:
        """Recent entries take so many bytes at most. Nobody resumes from before the window."""
        self.recent = RecentEntries(recent_bytes)
        confirmation = LogConfirmation(log)
        self.confirmed, self.confirm = confirmation.confirmed, confirmation.run
        self._keep_ms = int((window_seconds + _MARGIN_SECONDS) * 1000)
        self._entries = DecodedEntries(read, _HOT_BYTES)
        readback = Readback(log.reader, self.recent, self._entries)
        self.lead, self.read_back = readback.lead, readback.run
        self._lock = asyncio.Lock()
        """Held by one resume at a time: each of two thousand at once would block the event loop for
        one work unit only, but all of them together for seconds."""
        self._seen_last: LogId | None = None
        self._seen_last_at = 0.0

    @property
    def starts(self) -> int:
        """How often it has begun from scratch."""
        return self.recent.starts

    async def is_through(self, walk: Walk) -> bool:
        """Walk through memory to its end; False if memory begins after the walk's cursor."""
        recent, find = self.recent, self._entries.concerned
        async with self._lock:
            await asyncio.sleep(0)
            budget, before = WORK_UNIT, 0
            while walk.cursor >= recent.lower_bound:
                left = recent.unindexed(walk.cursor)
                if left >= before > 0:
                    budget *= 2  # more is delivered than was indexed
                before = left
                is_indexed = recent.index(find, budget, walk.cursor)
                if (walk.advance(recent, self._entries, budget) and is_indexed) or walk.is_too_much:
                    return True
                await asyncio.sleep(0)
        return False

    def is_at_end(self, walk: Walk) -> bool:
        """Walk on, by one work unit at most; return whether that was to the end."""
        recent = self.recent
        if walk.cursor < recent.lower_bound:
            return False
        is_indexed = recent.index(self._entries.concerned, WORK_UNIT, walk.cursor)
        return walk.advance(recent, self._entries, WORK_UNIT) and is_indexed

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Index and discard recent entries, for ever; `report_alive` is called at each step."""
        while True:
            appended = self.recent.appended
            await asyncio.sleep(_TICK_SECONDS)
            report_alive()
            self.expire(time.monotonic())
            if self.recent.appended - appended <= _FLOOD_PER_TICK:
                await self._index_some()

    async def _index_some(self) -> None:
        for _ in range(_UNITS_PER_TICK):
            if self.recent.index(self._entries.concerned, WORK_UNIT):
                return
            await asyncio.sleep(0)

    def expire(self, now_seconds: float) -> None:
        """Discard entries that are older than the recovery window, also while no new ones come.

        Log IDs can only be compared with the log's own time: that of the last entry, plus the time
        since then by this process's monotonic clock.
        """
        last = self.recent.last
        if last != self._seen_last:
            self._seen_last, self._seen_last_at = last, now_seconds
        idle_ms = int((now_seconds - self._seen_last_at) * 1000)
        self.recent.expire(last[0] + idle_ms, self._keep_ms)
        self._entries.expire()
