"""Which entries of a run concern which rooms. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence, Set

_ROOM_BYTES = 160
"""A room's name, its dictionary entry and its list."""
_PAIR_BYTES = 24
"""A place in a list, and its share of the number there, which the lists of one entry have in
common."""


class RoomIndex:
    """The places of the entries in their run, by room. None stands for everyone's room."""

    __slots__ = ("_pairs", "_places")

    def __init__(self) -> None:
        self._places: dict[str | None, int | list[int]] = {}
        """Most rooms have one entry in a run, for which a list would be too much."""
        self._pairs = 0

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, objects included."""
        return _ROOM_BYTES * len(self._places) + _PAIR_BYTES * self._pairs

    def add(self, rooms: Sequence[str | None], place: int) -> None:
        """Note that an entry concerns these rooms; its place is not below those before it."""
        places = self._places
        for room in rooms:
            found = places.get(room)
            if found is None:
                places[room] = place
            elif isinstance(found, int):
                places[room] = [found, place]
            else:
                found.append(place)
        self._pairs += len(rooms)

    def find(self, rooms: Set[str | None], first: int) -> set[int]:
        """Give the places, from `first` on, of the entries that concern any of these rooms."""
        found: set[int] = set()
        for room in self._places.keys() & rooms:
            places = self._places[room]
            if not isinstance(places, int):
                found.update(places[bisect_left(places, first) :])
            elif places >= first:
                found.add(places)
        return found
