"""Which entries of a run concern which rooms. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence, Set

_ROOM_BYTES = 160
"""A room's name, its dictionary entry and its list."""
_PAIR_BYTES = 24
"""An index in a list, and its share of the number there, which the lists of one entry have in
common."""


class RoomIndex:
    """The indexes of the entries in their run, by room. None stands for everyone's room."""

    __slots__ = ("_indexes", "_pairs")

    def __init__(self) -> None:
        self._indexes: dict[str | None, int | list[int]] = {}
        """Most rooms have one entry in a run, for which a list would be too much."""
        self._pairs = 0

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, objects included."""
        return _ROOM_BYTES * len(self._indexes) + _PAIR_BYTES * self._pairs

    def add(self, rooms: Sequence[str | None], index: int) -> None:
        """Note that an entry concerns these rooms; its index is not below those before it."""
        indexes = self._indexes
        for room in rooms:
            found = indexes.get(room)
            if found is None:
                indexes[room] = index
            elif isinstance(found, int):
                indexes[room] = [found, index]
            else:
                found.append(index)
        self._pairs += len(rooms)

    def find(self, rooms: Set[str | None], first: int) -> set[int]:
        """Return the indexes, from `first` on, of the entries that concern any of these rooms."""
        found: set[int] = set()
        for room in self._indexes.keys() & rooms:
            indexes = self._indexes[room]
            if not isinstance(indexes, int):
                found.update(indexes[bisect_left(indexes, first) :])
            elif indexes >= first:
                found.add(indexes)
        return found
