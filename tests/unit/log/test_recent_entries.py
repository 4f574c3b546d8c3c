"""The log's recent entries: what is in memory, in what form, and what is forgotten when."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.ids import BEGINNING, LogId, format_id, parse_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.segment import Concerned, FindConcerned

WINDOW_MS = 16_000


def logged(index: int, channel: str = "emit", payload: bytes = b"{}") -> Logged:
    return format_id((index, 0)), channel.encode(), payload


def nobody(entry: Logged) -> Concerned:
    return (), ()


def entries_after(recent: RecentEntries, log_id: LogId) -> list[Logged]:
    return [
        segment.entry_at(index)
        for segment in recent.after(log_id)
        for index in range(segment.index_after(log_id), len(segment))
    ]


SIZES = st.lists(st.lists(st.integers(0, 400), max_size=5), max_size=12)


@given(SIZES, st.integers(0, 20_000), st.integers(1, 4_000), st.integers(0, 70), st.data())
def test_all_entries_after_the_lower_bound_are_there(
    batches: list[list[int]], max_bytes: int, segment_bytes: int, start: int, data: st.DataObject
) -> None:
    """Whatever is packed by then, and however the entries came."""
    recent = RecentEntries(max_bytes, segment_bytes)
    recent.start(BEGINNING)
    everything: list[Logged] = []
    for sizes in batches:
        batch = [logged(len(everything) + n, payload=b"x" * s) for n, s in enumerate(sizes, 1)]
        everything += batch
        recent.append(batch)
        if data.draw(st.booleans()):
            recent.index(nobody, data.draw(st.integers(1, 9)))

    start_after = max((start, 0), recent.lower_bound)
    expected = [one for one in everything if _id(one) > start_after]
    assert entries_after(recent, start_after) == expected
    assert recent.last == (len(everything), 0)
    # Whole segments count, so it may be more than what comes after the start.
    assert recent.unindexed(start_after) <= sum(map(len, recent.after(start_after)))


def _id(entry: Logged) -> LogId:
    found = parse_id(entry[0])
    assert found is not None
    return found


def small(index: int) -> bytes:
    return (b'{"userId":"u%d","isTyping":true,"participants":["v%d"],"x":"' % (index, index)).ljust(
        85, b"x"
    ) + b'"}'


def two_rooms(entry: Logged) -> Concerned:
    index = int(entry[0].partition(b"-")[0])
    return [f"user:{index % 5_000}", f"chat:{index % 1_000}"], ()


@pytest.mark.parametrize("rooms", [nobody, two_rooms])
def test_its_bound_is_true_of_small_entries_too(rooms: object) -> None:
    """An object's own fifty bytes count as well: 87-byte payloads made 64 MiB hold 346 MB."""
    bound = 2 * 1024 * 1024
    recent = RecentEntries(bound)
    tracemalloc.start()
    try:
        for first in range(1, 30_000, 20):
            batch = [
                (b"%d-0" % n, bytes(bytearray(b"chat:typing")), small(n))
                for n in range(first, first + 20)
            ]
            recent.append(batch)
            if rooms is two_rooms:
                recent.index(two_rooms, 100)
            del batch
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < bound
    assert peak < bound * 1.1
    assert len(entries_after(recent, recent.lower_bound)) > bound / 600


@pytest.mark.parametrize("concerned", [nobody, two_rooms])
def test_it_takes_no_more_than_it_may(concerned: FindConcerned) -> None:
    recent = RecentEntries(100_000)
    for n in range(1, 1_001):
        recent.append([logged(n)])
    assert recent.free_bytes >= 0
    assert recent.appended == 1_000, "also what is forgotten"
    recent.index(concerned, 10_000)
    assert recent.free_bytes >= 0


def count_segments(recent: RecentEntries) -> int:
    """Say how many there are, with the open one."""
    return len([*recent.after(recent.lower_bound)])


def test_a_segment_is_complete_once_its_rooms_take_too_much() -> None:
    recent = RecentEntries(1 << 20)
    recent.append([logged(1)])
    recent.index(lambda entry: ([f"user:{n}" for n in range(1_000)], ()), 1)
    recent.append([logged(2)])
    assert count_segments(recent) == 2


def test_indexing_little_by_little_completes_no_segment() -> None:
    recent = RecentEntries(1 << 20)
    recent.append([logged(n) for n in range(1, 101)])
    for _ in range(100):
        recent.index(nobody, 1)
    assert count_segments(recent) == 1


def test_packing_makes_room() -> None:
    packed, plain = RecentEntries(1 << 20), RecentEntries(1 << 20)
    for n in range(1, 8_001):
        for recent in (packed, plain):
            recent.append([logged(n, payload=small(n))])
        packed.index(nobody, 2)
    assert packed.lower_bound < plain.lower_bound


def test_one_entry_that_concerns_very_many_is_in_the_bound() -> None:
    recent = RecentEntries(1 << 20)
    everyone = [f"user:{n}" for n in range(1_000)]
    for n in range(1, 101):
        recent.append([logged(n, payload=b"x" * 100)])
        recent.index(lambda entry: (everyone, ()), 10_000)
    assert recent.lower_bound > (80, 0)


def test_what_is_too_large_at_all_is_not_held() -> None:
    recent = RecentEntries(1_000)
    recent.append([logged(1, payload=b"x" * 2_000)])
    assert (recent.lower_bound, recent.last) == ((1, 0), (1, 0))


def test_indexing_stops_at_its_budget() -> None:
    recent = RecentEntries(1 << 20)
    asked: list[Logged] = []

    def two(entry: Logged) -> Concerned:
        asked.append(entry)
        return ["a"], ["b"]

    recent.append([logged(n) for n in range(1, 11)])
    assert not recent.index(two, 9)
    assert len(asked) == 3
    assert recent.unindexed(BEGINNING) == 7
    assert recent.index(two, 100)
    assert len(asked) == 10


@pytest.mark.parametrize(
    ("budget", "count", "is_done"),
    [(2, 1, False), (8, 3, False), (9, 3, False), (10, 4, False), (27, 9, False), (28, 9, True)],
)
def test_the_budget_is_one_for_all_segments(budget: int, count: int, *, is_done: bool) -> None:
    recent = RecentEntries(1 << 20, segment_bytes=200)
    for first in (1, 4, 7):
        recent.append([logged(first + n) for n in range(3)])
    asked: list[Logged] = []

    def two(entry: Logged) -> Concerned:
        asked.append(entry)
        return ["a"], ["b"]

    assert recent.index(two, budget) is is_done
    assert len(asked) == count


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (2, [3])])
def test_only_what_comes_after_an_entry_needs_to_be_indexed(
    after: int, expected: list[int]
) -> None:
    recent = RecentEntries(1 << 20, segment_bytes=200)
    for n in (1, 2, 3):
        recent.append([logged(n)])
    asked: list[Logged] = []

    def note(entry: Logged) -> Concerned:
        asked.append(entry)
        return (), ()

    assert recent.index(note, 100, after=(after, 0))
    assert [_id(entry)[0] for entry in asked] == expected


def _times(recent: RecentEntries) -> list[int]:
    return [_id(entry)[0] for entry in entries_after(recent, recent.lower_bound)]


@pytest.mark.parametrize(("age_ms", "count"), [(0, 1), (WINDOW_MS // 16, 1), (WINDOW_MS, 2)])
def test_a_segment_is_complete_once_it_begins_a_part_of_the_window_ago(
    age_ms: int, count: int
) -> None:
    recent = RecentEntries(1 << 20)
    recent.append([logged(1_000)])
    recent.expire(1_000 + age_ms, WINDOW_MS)
    recent.append([logged(1_001)])
    assert count_segments(recent) == count


def test_an_id_between_two_entries_is_not_held() -> None:
    recent = RecentEntries(1 << 20)
    recent.append([logged(4), logged(6)])
    assert not recent.holds((5, 0))


def test_entries_leave_when_they_are_too_old_though_nothing_new_comes() -> None:
    recent = RecentEntries(1 << 20)
    recent.append([logged(1_000)])
    recent.expire(1_001 + WINDOW_MS // 16, WINDOW_MS)
    recent.append([logged(10_000)])
    recent.expire(1_000 + WINDOW_MS, WINDOW_MS)
    assert _times(recent) == [1_000, 10_000]
    recent.expire(1_001 + WINDOW_MS, WINDOW_MS)
    assert (_times(recent), recent.lower_bound) == ([10_000], (1_000, 0))
    recent.expire(10_001 + WINDOW_MS, WINDOW_MS)
    assert (_times(recent), recent.lower_bound, recent.last) == ([], (10_000, 0), (10_000, 0))


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=40), st.integers(0, 20_000))
def test_no_entry_stays_much_longer_than_it_may_and_none_leaves_earlier(
    gaps: Sequence[int], idle_ms: int
) -> None:
    recent = RecentEntries(1 << 20)
    at, times = 1, []
    for gap in gaps:
        at += gap + 1
        times.append(at)
        recent.append([logged(at)])
        recent.expire(at, WINDOW_MS)
    now = at + idle_ms
    recent.expire(now, WINDOW_MS)
    recent.expire(now, WINDOW_MS)
    held = _times(recent)
    assert held == times[len(times) - len(held) :]
    assert [at for at in times if at >= now - WINDOW_MS] == [
        at for at in held if at >= now - WINDOW_MS
    ]
    assert all(at >= now - WINDOW_MS - WINDOW_MS // 16 - 3_001 for at in held)


def read_back(lower_bound: int, *indexes: int, payload: bytes = b"{}") -> RecentEntries:
    read = RecentEntries(1 << 30, 1_000)
    read.start((lower_bound, 0))
    read.append([logged(index, payload=payload) for index in indexes])
    return read


def test_what_was_read_back_is_put_before_the_rest() -> None:
    recent = RecentEntries(100_000)
    recent.start((5, 0))
    recent.append([logged(6)])
    recent.prepend(read_back(3, 4, 5))
    assert (_times(recent), recent.lower_bound) == ([4, 5, 6], (3, 0))
    assert recent.holds((4, 0))
    assert not recent.holds((3, 0))
    assert recent.holds((6, 0))
    assert not recent.holds((7, 0))


def test_of_what_was_read_back_the_end_stays_where_there_is_not_room_for_all() -> None:
    recent = RecentEntries(20_000)
    recent.start((9, 0))
    read = RecentEntries(1 << 30, 1_000)
    read.start((3, 0))
    for index in range(4, 10):
        read.append([logged(index, payload=b"x" * 4_000)])
    recent.prepend(read)
    assert _times(recent) == [7, 8, 9]
    assert recent.lower_bound == (6, 0)


def test_starting_from_scratch_forgets_everything() -> None:
    recent = RecentEntries(10_000)
    starts = recent.starts
    recent.append([logged(1)])
    recent.start((9, 0))
    assert (_times(recent), recent.lower_bound, recent.last) == ([], (9, 0), (9, 0))
    assert recent.starts > starts
