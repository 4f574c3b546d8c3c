"""Positions in the Pub/Sub stream, found by their ticks."""

from __future__ import annotations

import pytest

from constellation_ws.log.pubsub_positions import (
    Hole,
    Received,
    Run,
    Stretch,
    Stretches,
    parse_position,
    runs_of,
)


@pytest.mark.parametrize("tick", [b"pod.1", b"with:colon"])
def test_a_position_names_its_tick_and_its_index(tick: bytes) -> None:
    assert parse_position(Received(tick, 7, b"c", b"{}").position) == (tick, 7)


def test_a_position_without_an_index_is_the_first() -> None:
    assert parse_position(b"tick:x") == (b"tick", 0)


def test_a_position_is_found_by_its_tick_and_bounded_by_the_next_one() -> None:
    stretches = Stretches()
    stretches.begin(b"a", 0, 1)
    stretches.begin(b"b", 3, 1)
    found = stretches.find(b"a:5")
    assert found is not None
    stretch, number = found
    assert (number, stretch.clamp(number)) == (5, 3)
    assert stretches.find(b"c:0") is None


def test_very_old_ticks_are_forgotten() -> None:
    stretches = Stretches()
    for number in range(5_000):
        stretches.begin(b"t%d" % number, number, 1)
    assert stretches.find(b"t0:0") is None
    assert stretches.find(b"t4500:0") is not None


def test_as_many_ticks_are_known_as_come_in_some_minutes() -> None:
    stretches = Stretches()
    for number in range(1_001):
        stretches.begin(b"t%d" % number, number, 1)
    assert stretches.find(b"t0:0") is None
    assert stretches.find(b"t1:0") is not None


def test_a_run_names_its_first_and_its_last_position() -> None:
    run = Run(b"a", 4, 3)
    assert (run.begin, run.last, run.end) == (b"a:4", b"a:6", 7)


def received(*positions: tuple[bytes, int]) -> list[Received]:
    return [Received(tick, index, b"c", b"{}") for tick, index in positions]


@pytest.mark.parametrize(
    ("positions", "runs"),
    [
        ([(b"a", 2)], [Run(b"a", 2, 1)]),
        ([(b"a", 2), (b"a", 3), (b"a", 4)], [Run(b"a", 2, 3)]),
        ([(b"a", 2), (b"a", 4)], [Run(b"a", 2, 1), Run(b"a", 4, 1)]),
        ([(b"a", 2), (b"a", 5)], [Run(b"a", 2, 1), Run(b"a", 5, 1)]),
        ([(b"a", 2), (b"a", 3), (b"b", 0)], [Run(b"a", 2, 2), Run(b"b", 0, 1)]),
        ([(b"a", 2), (b"b", 3)], [Run(b"a", 2, 1), Run(b"b", 3, 1)]),
        ([(b"b", 0), (b"a", 1)], [Run(b"b", 0, 1), Run(b"a", 1, 1)]),
        (
            [(b"a", 0), (b"a", 1), (b"b", 0), (b"b", 1), (b"b", 3)],
            [Run(b"a", 0, 2), Run(b"b", 0, 2), Run(b"b", 3, 1)],
        ),
    ],
)
def test_positions_in_a_row_behind_one_tick_are_a_run(
    positions: list[tuple[bytes, int]], runs: list[Run]
) -> None:
    assert runs_of(received(*positions)) == runs


def test_a_stretch_that_still_goes_on_bounds_nothing() -> None:
    assert Stretch(0, 1).clamp(9) == 9
    assert Stretch(0, 1, end=3).clamp(2) == 2


@pytest.mark.parametrize(
    ("number", "serial", "is_before"),
    [(4, 9, True), (5, 0, True), (5, 1, True), (5, 2, False), (6, 0, False)],
)
def test_a_hole_and_a_stretch_of_one_number_are_told_apart_by_the_interruption(
    number: int, serial: int, is_before: bool
) -> None:
    hole = Hole(number, serial, is_lossy=True, late=0)
    assert hole.is_before(Stretch(5, 1)) == is_before


@pytest.fixture
def stretches() -> Stretches:
    """The tick `a` with the messages 10, 11 and 12, and `b` with those from 13 on."""
    stretches = Stretches()
    stretches.begin(b"a", 10, 1)
    stretches.begin(b"b", 13, 2)
    return stretches


def test_the_last_position_whose_tick_is_known_is_found(stretches: Stretches) -> None:
    runs = [Run(b"x", 0, 1), Run(b"a", 1, 2), Run(b"b", 0, 4), Run(b"y", 0, 1)]
    a, b = Stretch(10, 1, end=13), Stretch(13, 2)
    assert stretches.find_last(runs) == (b, 16, 2)
    assert stretches.find_last(runs[:2]) == (a, 12, 1)
    assert stretches.find_last([Run(b"b", 0, 1)]) == (b, 13, 0)
    assert stretches.find_last(runs[:1]) is None
    assert stretches.find_last([]) is None


def test_numbers_end_where_the_stretch_has_ended_here(stretches: Stretches) -> None:
    runs = [Run(b"x", 0, 3), Run(b"a", 1, 5), Run(b"b", 2, 2)]
    assert stretches.numbers(runs) == {11, 12, 15, 16}
    assert stretches.numbers([Run(b"a", 5, 2)]) == set()


@pytest.mark.parametrize(
    ("runs", "numbers", "is_row"),
    [
        ([Run(b"b", 0, 3)], range(13, 16), True),
        ([Run(b"b", 0, 2), Run(b"b", 2, 1)], range(13, 16), True),
        ([Run(b"b", 1, 2)], range(14, 16), True),
        ([Run(b"b", 1, 2)], range(13, 16), False),
        ([Run(b"b", 0, 3)], range(14, 16), False),
        ([Run(b"b", 0, 3)], range(13, 17), False),
        ([Run(b"b", 0, 3)], range(13, 15), False),
        ([Run(b"b", 0, 1), Run(b"b", 2, 1)], range(13, 16), False),
        ([Run(b"a", 2, 1), Run(b"b", 0, 3)], range(12, 16), False),
        ([Run(b"a", 3, 1), Run(b"b", 1, 2)], range(13, 16), False),
        ([Run(b"x", 0, 3)], range(13, 16), False),
        ([Run(b"a", 0, 1), Run(b"b", 1, 2)], range(13, 16), False),
        ([Run(b"b", 0, 1), Run(b"b", 2, 1)], range(14, 16), False),
        ([Run(b"b", 0, 2), Run(b"b", 5, 1)], range(13, 16), False),
    ],
)
def test_runs_are_a_row_where_they_are_exactly_these_numbers_of_a_stretch(
    stretches: Stretches, runs: list[Run], numbers: range, is_row: bool
) -> None:
    found = stretches.find(b"b:0")
    assert found is not None
    assert stretches.is_row(runs, found[0], numbers) == is_row
