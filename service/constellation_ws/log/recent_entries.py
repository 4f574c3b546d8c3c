"""The log's recent entries as this pod delivered them, bounded in bytes and in age.

Pure. Entries come in at the pace of delivery and are nearly never asked for, so `append` only
extends a list. Which rooms they concern is worked out later and in work units (`index`); once it is
known a segment is packed. What an entry means is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.layout import Logged
from constellation_ws.log.segment import FindConcerned, Segment

_SEGMENTS = 16
"""How many parts are discarded one after the other, by bytes or by age."""
_ENTRY_BYTES = 230
"""What an entry takes besides its payload: a tuple, three bytes objects, their texts."""


class RecentEntries:
    """What this pod has delivered lately, in the log's order without a gap."""

    def __init__(self, max_bytes: int, segment_bytes: int | None = None) -> None:
        """It is forgotten by segments of so many bytes; by default a sixteenth."""
        self._max_bytes = max_bytes
        self.segment_bytes = max_bytes // _SEGMENTS if segment_bytes is None else segment_bytes
        self.starts = 0
        """How often it has begun from scratch: what was read before has nothing to do with it."""
        self._bytes = 0
        """What the complete segments take."""
        self._completed = 0
        self._segments: deque[Segment] = deque()
        self._begin(BEGINNING)

    def _begin(self, after: LogId) -> None:
        self._open = Segment(after)
        self._fresh = self._open.logged
        self._room = self.segment_bytes - self._open.size
        """Bytes that the open segment may still take."""

    def start(self, lower_bound: LogId) -> None:
        """Begin from scratch: only entries after `lower_bound` will be here."""
        self.starts += 1
        self._segments.clear()
        self._bytes = 0
        self._begin(lower_bound)

    @property
    def lower_bound(self) -> LogId:
        """All entries after this one, up to the last delivered, are here."""
        return self._segments[0].after if self._segments else self._open.after

    @property
    def last(self) -> LogId:
        """The last entry, or the lower bound where there is none."""
        return self._open.last

    @property
    def appended(self) -> int:
        """How many entries have been appended in all, forgotten ones included."""
        return self._completed + len(self._open)

    @property
    def free_bytes(self) -> int:
        """How much more it may take; the open segment counts as full."""
        return self._max_bytes - self.segment_bytes - self._bytes

    def append(self, batch: Sequence[Logged]) -> None:
        """Take what was delivered; forget the oldest where it gets too much."""
        self._fresh += batch
        self._room -= _ENTRY_BYTES * len(batch) + sum([len(logged[2]) for logged in batch])
        if self._room < 0:
            self._complete()

    def _complete(self) -> None:
        """Begin another segment, if there is anything in the open one."""
        complete = self._open
        if not complete.logged:
            return
        complete.complete(self.segment_bytes - self._room - complete.size)
        self._segments.append(complete)
        self._bytes += complete.size
        self._completed += len(complete)
        self._begin(complete.last)
        self.shrink(self._max_bytes - self.segment_bytes)

    def shrink(self, max_bytes: int) -> None:
        """Forget the oldest segments until the complete ones take no more than that."""
        while self._bytes > max_bytes and self._segments:
            self._bytes -= self._segments.popleft().size

    def expire(self, now_ms: int, keep_ms: int) -> None:
        """Forget what is older, give or take a sixteenth. `now_ms` is the log's time."""
        if self._fresh and self._open.id_at(0)[0] < now_ms - keep_ms // _SEGMENTS:
            self._complete()
        while self._segments and self._segments[0].last[0] < now_ms - keep_ms:
            self._bytes -= self._segments.popleft().size

    def index(self, find: FindConcerned, budget: int, after: LogId = BEGINNING) -> bool:
        """Work out whom entries after one concern, the oldest first, until the budget is used up.

        True where nothing is left to do. The budget counts entries and the rooms that they concern.
        """
        for segment in [*self.after(after)]:
            before = segment.size
            budget = segment.index(find, budget)
            if segment is self._open:
                self._room -= segment.size - before
            else:
                self._bytes += segment.size - before
            if budget <= 0:
                break
        if self._room < 0:
            self._complete()
        self.shrink(self._max_bytes - self.segment_bytes)
        return budget > 0

    def unindexed(self, after: LogId) -> int:
        """Count entries that are not indexed yet, in the segments that hold any after this ID."""
        return sum(len(segment) - segment.indexed for segment in self.after(after))

    def after(self, log_id: LogId) -> Iterator[Segment]:
        """Yield the segments that hold entries after one that is not before the lower bound."""
        for segment in (*self._segments, self._open):
            if segment.last > log_id:
                yield segment

    def holds(self, log_id: LogId) -> bool:
        """Return whether this entry is here."""
        for segment in (*self._segments, self._open):
            if segment.after < log_id <= segment.last:
                return segment.id_at(segment.index_after(log_id) - 1) == log_id
        return False

    def prepend(self, older: RecentEntries) -> None:
        """Put what was read back up to the lower bound before it, as much of its end as fits."""
        older._complete()
        for segment in reversed(older._segments):
            if segment.size > self.free_bytes:
                return
            self._segments.appendleft(segment)
            self._bytes += segment.size


class NoRecentEntries:
    """Retains nothing, where nobody can resume."""

    def start(self, lower_bound: LogId) -> None:
        """Retain nothing."""

    def append(self, batch: Sequence[Logged]) -> None:
        """Retain nothing."""
