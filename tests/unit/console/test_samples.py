"""Rates and percentiles of the charts, from counters."""

from __future__ import annotations

import pytest

from constellation_ws.console.samples import KEPT_SECONDS, STEP_SECONDS, Bounds, Counters, Samples

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


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        ((0, 0, 0, 0), 0.0),
        ((100, 0, 0, 0), 0.99),
        ((90, 10, 0, 0), 9.1),
        ((0, 0, 0, 5), 100.0),  # beyond all buckets: what is known is that it is more
    ],
)
def test_a_percentile_lies_within_its_bucket(lag: tuple[int, ...], expected: float) -> None:
    samples = Samples(BOUNDS, counters(0.0))
    samples.add(counters(5.0, lag=lag))
    assert samples.newest is not None
    assert samples.newest.lag_ms == pytest.approx(expected, abs=0.01)


def test_only_the_last_15_minutes_are_kept() -> None:
    samples = Samples(BOUNDS, counters(0.0))
    for step in range(1, 300):
        samples.add(counters(step * STEP_SECONDS, events=step))
    assert len(samples.all()) == KEPT_SECONDS / STEP_SECONDS
