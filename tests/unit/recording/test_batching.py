"""When appends leave: at once, or together with what follows closely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log import rate
from constellation_ws.log.rate import AppendRate
from constellation_ws.recording.batching import GATHER_SECONDS, Batching


class High(AppendRate):
    """A rate that is high, whatever is appended."""

    def __init__(self) -> None:
        super().__init__()
        self.is_high = True

    def note(self, count: int, now_seconds: float) -> None:
        """Nothing changes it."""


def made(*, is_high: bool = False) -> Batching:
    return Batching(High() if is_high else AppendRate())


def test_what_comes_alone_leaves_at_once() -> None:
    assert made().due_at(1) <= 0


def test_fewer_than_usual_wait_a_moment_after_an_answer_and_no_longer() -> None:
    one = made()
    one.appended(8, 0, 99.0)
    one.answered(100.0)
    assert one.due_at(3) == pytest.approx(100.0 + GATHER_SECONDS)
    assert one.due_at(3) < 100.01
    assert one.due_at(8) <= 100.0


def test_what_is_usual_is_forgotten_slowly() -> None:
    one = made()
    one.appended(8, 0, 99.0)
    for _ in range(20):
        one.appended(1, 0, 99.0)
    one.answered(100.0)
    assert one.due_at(6) > 100.0
    for _ in range(500):
        one.appended(1, 0, 99.0)
    assert one.due_at(2) <= 100.0


def test_at_a_high_rate_appends_keep_a_distance() -> None:
    """However many wait: as many again come within that time."""
    one = made(is_high=True)
    one.appended(8, 0, 100.0)
    one.answered(100.001)
    assert [one.due_at(waiting) for waiting in (1, 8, 400)] == [100.0 + rate.GATHER_SECONDS] * 3


def test_what_an_append_could_not_hold_does_not_wait() -> None:
    one = made(is_high=True)
    one.appended(500, 1, 100.0)
    one.answered(100.001)
    assert one.due_at(1) <= 100.0
    one.appended(1, 0, 100.002)
    assert one.due_at(1) > 100.002


def test_what_was_appended_counts_for_the_rate() -> None:
    events = AppendRate()
    one = Batching(events)
    for step in range(100):
        one.appended(500, 0, 100.0 + step / 100)
    assert events.is_high


@given(st.lists(st.integers(1, 1_000), max_size=20), st.integers(1, 1_000), st.floats(0, 1e6))
def test_nothing_ever_waits_longer_than_a_moment(
    appended: list[int], waiting: int, now: float
) -> None:
    one = made()
    for count in appended:
        one.appended(count, 0, now)
    one.answered(now)
    most = max(GATHER_SECONDS, rate.GATHER_SECONDS)
    assert one.due_at(waiting) <= now + most * 1.001
