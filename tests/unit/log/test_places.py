"""Places in a log of one or more partitions: compared part by part, and written as offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log import places
from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.places import Place

log_ids = st.tuples(st.integers(0, 5), st.integers(0, 3))
ONE = (7, 1)
THREE = (7, 1, 5, 0, 9, 2)


def of(partitions: int) -> st.SearchStrategy[Place]:
    return st.lists(log_ids, min_size=partitions, max_size=partitions).map(places.place_of)


some = st.integers(1, 4).flatmap(lambda count: st.tuples(of(count), of(count)))


@given(some)
def test_the_later_of_two_places_lacks_nothing_of_either(pair: tuple[Place, Place]) -> None:
    both = places.later(*pair)
    assert not any(places.is_behind(both, one) for one in pair)
    assert all(part in [list(places.parts(one))[at] for one in pair]
               for at, part in enumerate(places.parts(both)))  # fmt: skip


@given(some)
def test_a_place_is_before_another_that_has_all_of_it_and_more(pair: tuple[Place, Place]) -> None:
    one, other = pair
    has_all = all(a <= b for a, b in zip(places.parts(one), places.parts(other), strict=True))
    assert places.is_before(one, other) == (has_all and one != other)
    assert places.is_behind(other, one) == (not has_all)


@given(log_ids, log_ids)
def test_with_one_partition_a_place_is_a_log_id(one: LogId, other: LogId) -> None:
    assert places.later(one, other) == max(one, other)
    assert places.is_behind(one, other) == (one < other) == places.is_before(one, other)
    assert places.part(one, 0) == one == places.with_part(other, 0, one)
    assert places.write(one) == format_id(one)
    assert places.rest_of_offset(one, 0) == b""
    assert places.read(format_id(one), 1) == one


@given(st.integers(1, 4).flatmap(of), st.data())
def test_an_offset_begins_with_the_events_own_id_and_says_the_whole_place(
    place: Place, data: st.DataObject
) -> None:
    count = len(place) // 2
    number = data.draw(st.integers(0, count - 1))
    own = format_id(places.part(place, number))
    offset = own + places.rest_of_offset(place, number)
    assert offset.startswith(own)
    assert places.read(offset.decode(), count) == place == places.read(places.write(place), count)
    assert places.read(offset, count + 1) is None


@given(st.integers(2, 4).flatmap(of), log_ids, st.data())
def test_one_part_of_a_place_is_changed(place: Place, log_id: LogId, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(place) // 2 - 1))
    changed = list(places.parts(places.with_part(place, number, log_id)))
    assert changed[number] == log_id
    del changed[number]
    assert changed == [one for at, one in enumerate(places.parts(place)) if at != number]


@pytest.mark.parametrize("text", [
    "", "1-0", "1-0,2-0", "1-0,2-0,3-0,4-0", "1-0,2-0,x", "1-0,2-0,3-0~3", "1-0,2-0,3-0~",
    "1-0,2-0,3-0~-1", "1-0,2-0,3-0~1~1", "~1", ",,", "1-0,2-0,3-0~" + "1" * 5_000, "1-0;2-0;3-0",
])  # fmt: skip
def test_what_is_no_offset_is_none(text: str) -> None:
    assert places.read(text, 3) is None
