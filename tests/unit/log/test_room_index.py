"""Which entries concern which rooms, against a list that is searched."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.room_index import RoomIndex

ROOM = st.none() | st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.lists(ROOM, max_size=4), max_size=20), st.frozensets(ROOM), st.integers(0, 21))
def test_what_concerns_any_of_some_rooms_is_found(
    entries: list[list[str | None]], rooms: frozenset[str | None], first: int
) -> None:
    index = RoomIndex()
    for number, concerned in enumerate(entries):
        index.add(concerned, number)
    expected = {n for n, concerned in enumerate(entries) if n >= first and rooms & {*concerned}}
    assert index.find(rooms, first) == expected


@pytest.mark.parametrize(("first", "found"), [(2, {3}), (3, {3}), (4, set())])
def test_the_only_entry_of_a_room_is_found_up_to_its_index(first: int, found: set[int]) -> None:
    index = RoomIndex()
    index.add(["a"], 3)
    assert index.find({"a"}, first) == found


def test_its_size_is_true() -> None:
    for rooms in (1_000, 40_000):
        tracemalloc.start()
        try:
            index = RoomIndex()
            for number in range(20_000):
                index.add([f"chat:{number % rooms:024}", f"user:{number * 7 % rooms:024}"], number)
            size = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert size * 0.8 < index.size_bytes < size * 2
