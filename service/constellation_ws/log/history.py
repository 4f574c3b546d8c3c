"""The log's recent entries as this pod delivered them, bounded in bytes and in age.

Pure. Entries come in at the pace of delivery and are nearly never asked for, so `append` only
extends a list. Whom they concern is worked out later and in slices (`index`), and once it is known
a segment is packed. What an entry means is not known here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from itertools import accumulate, chain

from constellation_ws.log.positions import LogId
from constellation_ws.log.room_index import RoomIndex

Logged = tuple[bytes, bytes, bytes]
"""An entry as it came: ID, channel, payload. A bare tuple: one is made per message."""

Concerned = tuple[Sequence[str | None], Sequence[str | None]]
"""The rooms that an entry is sent to, None for everyone, and those whose members it may move."""
FindConcerned = Callable[[Logged], Concerned]

BEGINNING: LogId = (0, 0)

_SEGMENTS = 16
"""How many parts are forgotten one after the other, by bytes or by age."""
_ENTRY_BYTES = 230
"""What an entry takes besides its payload: a tuple, three bytes objects, their texts."""
_PACKED_ENTRY_BYTES = 12
_SEGMENT_BYTES = 1_000


def parse_id(text: bytes | str) -> LogId | None:
    """Read an ID as Redis writes it; None where the text is none."""
    raw = text.encode() if isinstance(text, str) else text
    milliseconds, dash, sequence = raw.partition(b"-")
    if not (dash and milliseconds.isdigit() and sequence.isdigit() and len(raw) <= 41):
        return None
    log_id = int(milliseconds), int(sequence)
    return log_id if max(log_id) < 1 << 64 else None


def format_id(log_id: LogId) -> bytes:
    """Write an ID as Redis does."""
    return b"%d-%d" % log_id


class Segment:
    """Neighboring entries of the log. A place is the number of an entry in its segment."""

    __slots__ = (
        "_blob",
        "_ends",
        "_last",
        "_logged_size",
        "_moved",
        "_parts",
        "_sent",
        "after",
        "indexed",
        "logged",
    )

    def __init__(self, after: LogId) -> None:
        self.after = after
        """The entry before the first."""
        self.logged: list[Logged] = []
        """The entries, until all of them are packed."""
        self.indexed = 0
        """How many entries, from the first one, are indexed, and packed as well."""
        self._sent, self._moved = RoomIndex(), RoomIndex()
        self._logged_size = 0
        self._last: LogId | None = None
        """The last entry, once no further ones are taken."""
        self._parts: list[bytes] = []
        self._ends = array("I", [0])
        """Where each text ends in the parts put together, three per entry."""
        self._blob: bytes | None = None
        """The parts in one piece, once there will be no further ones."""

    def __len__(self) -> int:
        return len(self.logged) if self._blob is None else self.indexed

    @property
    def size(self) -> int:
        """Bytes in memory, objects included; of an open segment without `logged`."""
        packed_size = _SEGMENT_BYTES + self._ends[-1] + _PACKED_ENTRY_BYTES * self.indexed
        return packed_size + self._logged_size + self._sent.size_bytes + self._moved.size_bytes

    @property
    def last(self) -> LogId:
        """The ID of the last entry, or of the one before the segment where it is empty."""
        if self._last is not None:
            return self._last
        return self.id_at(len(self) - 1) if len(self) else self.after

    def complete(self, logged_size: int) -> None:
        """Take no further entries; they take so many bytes as they came."""
        self._last, self._logged_size = self.last, logged_size
        self._settle()

    def offset_at(self, place: int) -> bytes:
        """Give the ID of an entry as Redis wrote it."""
        if self._blob is None:
            return self.logged[place][0]
        return self._blob[self._ends[3 * place] : self._ends[3 * place + 1]]

    def id_at(self, place: int) -> LogId:
        """Give the ID of an entry."""
        milliseconds, _, sequence = self.offset_at(place).partition(b"-")
        return int(milliseconds), int(sequence)

    def entry_at(self, place: int) -> Logged:
        """Give an entry as it came."""
        if self._blob is None:
            return self.logged[place]
        start, channel, data, end = self._ends[3 * place : 3 * place + 4]
        return self._blob[start:channel], self._blob[channel:data], self._blob[data:end]

    def place_after(self, log_id: LogId) -> int:
        """Give the place of the first entry after an ID."""
        if log_id <= self.after:
            return 0
        if log_id >= self.last:
            return len(self)
        return bisect_right(range(len(self)), log_id, key=self.id_at)

    def index(self, find: FindConcerned, budget: int) -> int:
        """Index and pack entries until the budget is used up; give the rest of it."""
        first = place = self.indexed
        for logged in self.logged[place : place + budget]:
            sent, moved = find(logged)
            self._sent.add(sent, place)
            if moved:
                self._moved.add(moved, place)
            place += 1
            budget -= 1 + len(sent) + len(moved)
            if budget <= 0:
                break
        if place > first:
            self.indexed = place
            self._pack(self.logged[first:place])
        return budget

    def _pack(self, entries: list[Logged]) -> None:
        """Put entries into one piece: an object per text costs more than a small payload itself."""
        self._parts.append(b"".join(chain.from_iterable(entries)))
        ends = accumulate(map(len, chain.from_iterable(entries)), initial=self._ends.pop())
        self._ends.extend(ends)
        self._settle()

    def _settle(self) -> None:
        """Keep the packed entries only, once there will be no others."""
        if self._last is not None and self._blob is None and self.indexed == len(self.logged):
            self._blob = b"".join(self._parts)
            self._parts, self.logged, self._logged_size = [], [], 0

    def find(self, rooms: Set[str | None], first: int, first_sent: int) -> list[int]:
        """Give the places of what may move members of the rooms, from `first` on, and of what is
        sent to them, from `first_sent` on; the last one first."""
        found = self._moved.find(rooms, first) | self._sent.find(rooms, first_sent)
        return sorted(found, reverse=True)


class History:
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

    def start(self, floor: LogId) -> None:
        """Begin from scratch: nothing up to `floor` is here."""
        self.starts += 1
        self._segments.clear()
        self._bytes = 0
        self._begin(floor)

    @property
    def floor(self) -> LogId:
        """All entries after this one, up to the last delivered, are here."""
        return self._segments[0].after if self._segments else self._open.after

    @property
    def last(self) -> LogId:
        """The last entry, or the floor where there is none."""
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
        """Count the entries after one of which it is not known yet whom they concern."""
        return sum(len(segment) - segment.indexed for segment in self.after(after))

    def after(self, log_id: LogId) -> Iterator[Segment]:
        """Give the segments that hold entries after one, which must not be before the floor."""
        for segment in (*self._segments, self._open):
            if segment.last > log_id:
                yield segment

    def holds(self, log_id: LogId) -> bool:
        """Tell whether this entry is here."""
        for segment in (*self._segments, self._open):
            if segment.after < log_id <= segment.last:
                return segment.id_at(segment.place_after(log_id) - 1) == log_id
        return False

    def prepend(self, older: History) -> None:
        """Put before this what was read back up to the floor, as much of the end as fits."""
        older._complete()
        for segment in reversed(older._segments):
            if segment.size > self.free_bytes:
                return
            self._segments.appendleft(segment)
            self._bytes += segment.size


class NoHistory:
    """Stands for a history where nobody can resume."""

    def start(self, floor: LogId) -> None:
        """Retain nothing."""

    def append(self, batch: Sequence[Logged]) -> None:
        """Retain nothing."""
