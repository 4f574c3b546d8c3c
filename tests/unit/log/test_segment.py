"""A run of entries: the same in each form, whichever part of it is packed."""

from __future__ import annotations

import pytest

from constellation_ws.log.ids import LogId
from constellation_ws.log.layout import Logged
from constellation_ws.log.segment import Concerned, Segment

AFTER = (4, 9)
ENTRIES: list[Logged] = [
    (b"5-0", b"c", b"one"),
    (b"5-1", b"channel", b""),
    (b"7-0", b"", b"three"),
]
IDS = [(5, 0), (5, 1), (7, 0)]


def a_and_b(entry: Logged) -> Concerned:
    """Each is sent to the room `a`; the second one moves the members of `b` too."""
    return ["a"], (["b"] if entry is ENTRIES[1] else [])


def make_segment(*, indexed: int = 0, is_complete: bool = False) -> Segment:
    segment = Segment(AFTER)
    segment.logged.extend(ENTRIES)
    for _ in range(indexed):
        segment.index(a_and_b, 1)
    if is_complete:
        segment.complete(500)
    return segment


FORMS = [
    *(make_segment(indexed=indexed) for indexed in range(4)),
    *(make_segment(indexed=indexed, is_complete=True) for indexed in range(4)),
]
each_form = pytest.mark.parametrize("segment", FORMS)


def test_an_empty_segment_ends_where_it_begins() -> None:
    segment = Segment(AFTER)
    assert (len(segment), segment.last, segment.index_after((9, 9))) == (0, AFTER, 0)


@each_form
def test_entries_are_as_they_came(segment: Segment) -> None:
    assert len(segment) == 3
    assert [segment.entry_at(index) for index in range(3)] == ENTRIES
    assert [segment.raw_id_at(index) for index in range(3)] == [one[0] for one in ENTRIES]
    assert [segment.id_at(index) for index in range(3)] == IDS
    assert segment.last == IDS[-1]


@each_form
@pytest.mark.parametrize(
    ("log_id", "index"),
    [
        ((0, 0), 0),
        (AFTER, 0),
        ((4, 10), 0),
        ((5, 0), 1),
        ((5, 1), 2),
        ((6, 7), 2),
        ((7, 0), 3),
        ((9, 0), 3),
    ],
)
def test_the_first_entry_after_an_id_is_found(segment: Segment, log_id: LogId, index: int) -> None:
    assert segment.index_after(log_id) == index


@pytest.mark.parametrize(
    ("budget", "indexed", "rest"),
    [(1, 1, -1), (2, 1, 0), (3, 2, -2), (5, 2, 0), (6, 3, -1), (9, 3, 2)],
)
def test_indexing_costs_an_entry_and_its_rooms(budget: int, indexed: int, rest: int) -> None:
    segment = make_segment()
    assert segment.index(a_and_b, budget) == rest
    assert segment.indexed == indexed


def test_indexing_goes_on_where_it_stopped() -> None:
    segment = make_segment(indexed=2)
    assert segment.index(a_and_b, 9) == 7
    assert segment.find({"a"}, 0, 0) == [2, 1, 0]
    assert segment.index(a_and_b, 9) == 9


@pytest.mark.parametrize(
    ("rooms", "first", "first_sent", "found"),
    [
        ({"a"}, 0, 0, [2, 1, 0]),
        ({"a"}, 0, 1, [2, 1]),
        ({"a"}, 0, 3, []),
        ({"b"}, 0, 3, [1]),
        ({"b"}, 2, 2, []),
        ({"a", "b"}, 1, 2, [2, 1]),
        ({"c"}, 0, 0, []),
    ],
)
@pytest.mark.parametrize("is_complete", [False, True])
def test_what_concerns_rooms_is_found_with_the_last_first(
    rooms: set[str], first: int, first_sent: int, found: list[int], is_complete: bool
) -> None:
    segment = make_segment(indexed=3, is_complete=is_complete)
    assert segment.find(rooms, first, first_sent) == found


def test_entries_are_kept_once() -> None:
    assert make_segment(indexed=3, is_complete=True).logged == []
    assert make_segment(indexed=2, is_complete=True).logged == ENTRIES


def test_a_complete_segment_takes_what_its_entries_took_until_they_are_packed() -> None:
    assert make_segment(is_complete=True).size == make_segment().size + 500
    assert make_segment(indexed=2, is_complete=True).size == make_segment(indexed=2).size + 500
    assert make_segment(indexed=3, is_complete=True).size == make_segment(indexed=3).size


def test_packed_entries_take_their_texts_their_rooms_and_a_little_more() -> None:
    plain, packed = make_segment(), make_segment(indexed=3)
    texts = sum(len(text) for entry in ENTRIES for text in entry)
    assert plain.size + texts < packed.size < plain.size + texts + 600


def size_of(entries: list[Logged], concerned: Concerned = ((), ())) -> int:
    segment = Segment(AFTER)
    segment.logged.extend(entries)
    segment.index(lambda entry: concerned, 1_000)
    return segment.size


def test_each_packed_entry_takes_its_texts_and_three_numbers() -> None:
    entries = [(b"5-%03d" % n, b"c", b"payload") for n in range(100)]
    assert size_of(entries) - size_of([]) == pytest.approx(
        100 * (len(b"5-000cpayload") + 12), abs=50
    )


def test_rooms_take_room_whether_something_is_sent_there_or_moves_members() -> None:
    sent, moved = size_of(ENTRIES, (["a"], ())), size_of(ENTRIES, ((), ["a"]))
    assert sent == moved > size_of(ENTRIES)
