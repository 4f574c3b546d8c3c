"""A run of neighboring log entries in memory, packed once their rooms are indexed. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence, Set
from itertools import accumulate, chain

from constellation_ws.log.ids import LogId
from constellation_ws.log.layout import Logged
from constellation_ws.log.room_index import RoomIndex

Concerned = tuple[Sequence[str | None], Sequence[str | None]]
"""The rooms that an entry is sent to, None for everyone, and those whose members it may move."""
FindConcerned = Callable[[Logged], Concerned]

_PACKED_ENTRY_BYTES = 12
_SEGMENT_BYTES = 1_000


class Segment:
    """Neighboring entries of the log. An index is the number of an entry in its segment."""

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
        self._finish_packing()

    def raw_id_at(self, index: int) -> bytes:
        """Return the ID of an entry as Redis wrote it."""
        if self._blob is None:
            return self.logged[index][0]
        return self._blob[self._ends[3 * index] : self._ends[3 * index + 1]]

    def id_at(self, index: int) -> LogId:
        """Return the ID of an entry."""
        milliseconds, _, sequence = self.raw_id_at(index).partition(b"-")
        return int(milliseconds), int(sequence)

    def entry_at(self, index: int) -> Logged:
        """Return an entry as it came."""
        if self._blob is None:
            return self.logged[index]
        start, channel, data, end = self._ends[3 * index : 3 * index + 4]
        return self._blob[start:channel], self._blob[channel:data], self._blob[data:end]

    def index_after(self, log_id: LogId) -> int:
        """Return the index of the first entry after an ID."""
        if log_id <= self.after:
            return 0
        if log_id >= self.last:
            return len(self)
        return bisect_right(range(len(self)), log_id, key=self.id_at)

    def index(self, find: FindConcerned, budget: int) -> int:
        """Index and pack entries until the budget is used up; give the rest of it."""
        first = index = self.indexed
        for logged in self.logged[index : index + budget]:
            sent, moved = find(logged)
            self._sent.add(sent, index)
            if moved:
                self._moved.add(moved, index)
            index += 1
            budget -= 1 + len(sent) + len(moved)
            if budget <= 0:
                break
        if index > first:
            self.indexed = index
            self._pack(self.logged[first:index])
        return budget

    def _pack(self, entries: list[Logged]) -> None:
        """Put entries into one piece: an object per text costs more than a small payload itself."""
        self._parts.append(b"".join(chain.from_iterable(entries)))
        ends = accumulate(map(len, chain.from_iterable(entries)), initial=self._ends.pop())
        self._ends.extend(ends)
        self._finish_packing()

    def _finish_packing(self) -> None:
        """Keep the packed entries only, once there will be no others."""
        if self._last is not None and self._blob is None and self.indexed == len(self.logged):
            self._blob = b"".join(self._parts)
            self._parts, self.logged, self._logged_size = [], [], 0

    def find(self, rooms: Set[str | None], first: int, first_sent: int) -> list[int]:
        """Return the indexes of what may move members of the rooms, from `first` on, and of what is
        sent to them, from `first_sent` on; the last one first."""
        found = self._moved.find(rooms, first) | self._sent.find(rooms, first_sent)
        return sorted(found, reverse=True)
