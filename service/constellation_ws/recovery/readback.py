"""Reading back entries that are no longer in memory: once for all sessions that need them.

The log is read page by page, from the oldest entry that a session needs to where memory begins.
Each page is indexed and every session walks through it, so that only events to be replayed are
retained. Afterwards what was read is put before the entries in memory, as far as there is room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.reading import LogReader
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.recovery.replay import DecodedEntries, Walk
from constellation_ws.redis_io.link import RedisUnavailable

WORK_UNIT = 300
"""Entries, and rooms of them, that are indexed or examined before other tasks run: about a
millisecond."""
_PAGE_BYTES = 256 * 1024
_FIRST_PAGE = 32
_MAX_PAGE = 250
_PAGES_PER_WALK = 16
"""To find that a part of the log has nothing for a session costs the same whatever its length."""
_WALKS_PER_TURN = 8
_MAX_FOUND_BYTES = 32 * 1024 * 1024
"""What all sessions together may have found while the rest is read."""
_UNBOUNDED = 1 << 62


class Gone(Exception):
    """The log does not hold every entry after the one at which a session would begin."""


@dataclass(slots=True, eq=False)
class _Passenger:
    """A session that waits for a read-back."""

    walk: Walk
    start: LogId
    done: asyncio.Future[bool]
    is_anchored: bool = False
    """Whether the entry that it begins after was found in the log."""

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def end(self, has_arrived: bool) -> None:
        if not self.done.done():
            self.done.set_result(has_arrived)


class Readback:
    """Leads walks up to this pod's memory. `run` must run in one task while the process lives."""

    def __init__(self, reader: LogReader, recent: RecentEntries, entries: DecodedEntries) -> None:
        self._reader = reader
        self._recent = recent
        self._entries = entries
        self._waiting: list[_Passenger] = []
        self._wake = asyncio.Event()

    async def lead(self, walk: Walk) -> bool:
        """Advance a walk to where this pod's memory begins, or until it is too much.

        False if it must begin again: the memory for what it had found was needed for others. Raises
        Gone and RedisUnavailable.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Passenger(walk, walk.cursor, done))
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Read back whenever somebody waits, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await _Scan(self._reader, self._recent, self._entries, self._waiting).run()


class _Scan:
    """One pass over a part of the log. A session that comes too late waits for the next pass."""

    def __init__(
        self,
        reader: LogReader,
        recent: RecentEntries,
        entries: DecodedEntries,
        waiting: list[_Passenger],
    ) -> None:
        self._reader = reader
        self._recent = recent
        self._recent_starts = recent.starts
        self._entries = entries
        self._waiting = waiting
        self._aboard: list[_Passenger] = []
        self._read = RecentEntries(_UNBOUNDED, recent.segment_bytes)
        self._at: LogId = BEGINNING
        """All up to this entry has been read."""
        self._anchor: LogId | None = None
        """The last entry that is known to be in the log: who begins after it misses none."""
        self._page = _FIRST_PAGE

    async def run(self) -> None:
        """Read once, up to where memory begins, and complete the sessions that could take part."""
        try:
            await self._begin()
            while self._is_needed():
                await self._read_pages()
                await self._walk()
                if self._at >= self._recent.lower_bound:
                    await self._end()
        except RedisUnavailable as error:
            for passenger in [*self._aboard, *self._waiting]:
                passenger.fail(error)
            self._waiting.clear()

    async def _begin(self) -> None:
        """Find the oldest entry that somebody needs. Raises RedisUnavailable."""
        trimmed = await self._reader.trimmed(self._recent.lower_bound)
        for passenger in self._waiting:
            if passenger.start >= self._recent.lower_bound:
                passenger.end(has_arrived=True)  # an earlier read-back has brought it to memory
            elif passenger.start < trimmed:
                passenger.fail(Gone())
        self._aboard = [one for one in self._waiting if not one.done.done()]
        self._waiting.clear()
        if self._aboard:
            self._at = min(one.start for one in self._aboard)
            self._read.start(self._at)
            if self._at in (BEGINNING, trimmed) or await self._reader.holds(self._at):
                self._anchor = self._at
            for passenger in self._aboard:
                passenger.is_anchored = passenger.start == self._anchor

    def _is_needed(self) -> bool:
        """Return whether a session still waits; others that need no earlier part may join."""
        if self._recent.starts != self._recent_starts:
            for passenger in self._aboard:
                passenger.fail(Gone())  # the log was replaced meanwhile
        self._aboard = [one for one in self._aboard if not one.done.done()]
        if not self._aboard:
            return False
        for one in self._waiting:
            # The last entry that was read may not be retained any more when they look for it.
            one.is_anchored = one.start == self._anchor
        self._aboard += [one for one in self._waiting if one.start >= self._at]
        self._waiting[:] = [one for one in self._waiting if one.start < self._at]
        return True

    async def _read_pages(self) -> None:
        """Read and index some more. Raises RedisUnavailable."""
        for _ in range(_PAGES_PER_WALK):
            up_to = self._recent.lower_bound
            if self._at >= up_to:
                return
            page = await self._reader.page(self._at, up_to, self._page)
            self._read.append(page.logged)
            if page.logged:
                self._anchor = self._read.last
            self._at = up_to if page.is_last else self._read.last
            size = sum(len(payload) for _, _, payload in page.logged)
            fitting = page.entries * _PAGE_BYTES // (size + 1)
            self._page = max(1, min(2 * self._page, fitting, _MAX_PAGE))
            await _in_units(self._read.index, self._entries.concerned, WORK_UNIT)

    async def _walk(self) -> None:
        """Advance every session over what was read, and discard what there is no room for."""
        for number, passenger in enumerate(self._aboard, 1):
            if passenger.start > self._at:
                continue  # its part comes later
            if not passenger.is_anchored and not self._read.holds(passenger.start):
                passenger.fail(Gone())
                continue
            passenger.is_anchored = True
            walk = passenger.walk
            await _in_units(walk.advance, self._read, self._entries, WORK_UNIT)
            walk.reach(self._at)
            if walk.is_too_much:
                passenger.end(has_arrived=True)
            if number % _WALKS_PER_TURN == 0:
                await asyncio.sleep(0)
        self._aboard = [one for one in self._aboard if not one.done.done()]
        self._set_aside()
        self._read.shrink(max(0, self._recent.free_bytes))

    def _set_aside(self) -> None:
        """Bound the memory of what was found: the sessions that joined last begin again later."""
        found = sum(passenger.walk.size for passenger in self._aboard)
        while found > _MAX_FOUND_BYTES and len(self._aboard) > 1:
            passenger = self._aboard.pop()
            found -= passenger.walk.size
            passenger.end(has_arrived=False)

    async def _end(self) -> None:
        """Complete all sessions, unless entries were trimmed meanwhile. Raises RedisUnavailable."""
        trimmed = await self._reader.trimmed(self._recent.lower_bound)
        for passenger in self._aboard:
            if passenger.start < trimmed:
                passenger.fail(Gone())
        if self._at >= self._recent.lower_bound and self._recent.starts == self._recent_starts:
            self._recent.prepend(self._read)
            for passenger in self._aboard:
                passenger.end(has_arrived=True)


async def _in_units(step: Callable[..., bool], *arguments: object) -> None:
    """Repeat a step until it returns that it is done; other tasks run in between."""
    while True:
        if step(*arguments):
            return
        await asyncio.sleep(0)
