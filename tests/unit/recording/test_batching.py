"""When appends leave: at once, or together with what follows closely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.recording.batching import GATHER_SECONDS, Batching


def test_what_comes_alone_leaves_at_once() -> None:
    assert Batching().delay_seconds(1, 100.0) == 0


def test_fewer_than_usual_wait_a_moment_after_an_answer_and_no_longer() -> None:
    one = Batching()
    one.appended(8)
    one.answered(100.0)
    assert one.delay_seconds(3, 100.0) == pytest.approx(GATHER_SECONDS)
    assert one.delay_seconds(8, 100.0) == 0
    assert one.delay_seconds(3, 100.0 + 2 * GATHER_SECONDS) == 0


def test_what_is_usual_is_forgotten_slowly() -> None:
    one = Batching()
    one.appended(8)
    for _ in range(20):
        one.appended(1)
    one.answered(0.0)
    assert one.delay_seconds(6, 0.0) > 0
    for _ in range(500):
        one.appended(1)
    assert one.delay_seconds(2, 0.0) == 0


@given(st.lists(st.integers(1, 1_000), max_size=20), st.integers(1, 1_000), st.floats(0, 1e6))
def test_nothing_ever_waits_longer_than_a_moment(
    appended: list[int], waiting: int, now: float
) -> None:
    one = Batching()
    for count in appended:
        one.appended(count)
    one.answered(now)
    assert 0 <= one.delay_seconds(waiting, now) <= GATHER_SECONDS * 1.001
