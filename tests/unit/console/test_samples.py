"""Rates and percentiles of the charts, from counters."""

from __future__ import annotations

import msgspec
import pytest

from constellation_ws.console.samples import (
    KEPT_SECONDS,
    STEP_SECONDS,
    Bounds,
    Counters,
    Sample,
    Samples,
)

BOUNDS = Bounds(lag=(0.001, 0.01, 0.1), write=(0.001, 0.01))


def counters(
    at: float, events: int = 0, lag: tuple[int, ...] = (0, 0, 0, 0), clients: int = 7
) -> Counters:
    return Counters(at, clients, events, 10 * events, 0, lag, (0, 0, 0))


def test_a_step_has_rates_per_second_and_the_clients_at_its_end() -> None:
    samples = Samples(BOUNDS, counters(0.0))
    assert samples.newest is None

    samples.add(counters(5.0, events=20))

    newest = samples.newest
    assert newest is not None
    assert (newest.clients, newest.events, newest.deliveries) == (7, 4.0, 40.0)
    assert samples.age_seconds(6.0) == 1.0


def test_rates_are_of_what_came_in_the_step_alone() -> None:
    before = Counters(100.0, 1, 1_000, 10_000, 500, (70, 3, 0, 0), (0, 0, 4))
    after = Counters(102.3, 9, 1_005, 10_012, 508, (70, 103, 0, 0), (9, 0, 4))
    samples = Samples(BOUNDS, before)
    samples.add(before)
    samples.add(after)
    assert samples.newest == Sample(9, 2.17, 5.22, 3.48, 9.91, 0.99)
    assert msgspec.json.encode(samples.newest) == b"[9,2.17,5.22,3.48,9.91,0.99]"


@pytest.mark.parametrize(("seconds", "rate"), [(0.5, 4.0), (0.0, 2_000.0)])
def test_a_step_may_be_short(seconds: float, rate: float) -> None:
    samples = Samples(BOUNDS, counters(7.0))
    samples.add(counters(7.0 + seconds, events=2))
    assert samples.newest is not None
    assert samples.newest.events == rate


def test_the_newest_sample_is_never_from_the_future() -> None:
    samples = Samples(BOUNDS, counters(7.0))
    assert [samples.age_seconds(now) for now in (6.5, 7.0, 7.5)] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        ((0, 0, 0, 0), 0.0),
        ((100, 0, 0, 0), 0.99),
        ((90, 10, 0, 0), 9.1),
        ((2, 5, 0, 0), 9.87),
        ((99, 0, 1, 0), 1.0),
        ((0, 0, 0, 5), 100.0),  # beyond all buckets: what is known is that it is more
    ],
)
def test_a_percentile_lies_within_its_bucket(lag: tuple[int, ...], expected: float) -> None:
    samples = Samples(BOUNDS, counters(0.0))
    samples.add(counters(5.0, lag=lag))
    assert samples.newest is not None
    assert samples.newest.lag_ms == expected


def test_of_what_is_beyond_all_buckets_the_last_bound_is_given_in_two_digits() -> None:
    samples = Samples(Bounds(lag=(0.001234567,), write=()), counters(0.0, lag=(0, 0)))
    samples.add(counters(5.0, lag=(0, 1)))
    assert samples.newest is not None
    assert samples.newest.lag_ms == 1.23


def test_only_the_last_15_minutes_are_kept() -> None:
    samples = Samples(BOUNDS, counters(0.0))
    for step in range(1, 300):
        samples.add(counters(step * STEP_SECONDS, events=step))
    assert len(samples.all()) == KEPT_SECONDS / STEP_SECONDS == 180
