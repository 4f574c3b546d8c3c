"""When appends leave: at once, or together with what follows closely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.recording.batching import GATHER_SECONDS, Batching


def test_what_comes_alone_leaves_at_once() -> None:
    assert Batching().due_at(1) <= 0


def test_fewer_than_usual_wait_a_moment_after_an_answer_and_no_longer() -> None:
    one = Batching()
    one.appended(8)
    one.answered(100.0)
    assert one.due_at(3) == pytest.approx(100.0 + GATHER_SECONDS)
    assert one.due_at(8) <= 100.0


def test_what_is_usual_is_forgotten_slowly() -> None:
    one = Batching()
    one.appended(8)
    for _ in range(20):
        one.appended(1)
    one.answered(100.0)
    assert one.due_at(6) > 100.0
    for _ in range(500):
        one.appended(1)
    assert one.due_at(2) <= 100.0


@given(st.lists(st.integers(1, 1_000), max_size=20), st.integers(1, 1_000), st.floats(0, 1e6))
def test_nothing_ever_waits_longer_than_a_moment(
    appended: list[int], waiting: int, now: float
) -> None:
    one = Batching()
    for count in appended:
        one.appended(count)
    one.answered(now)
    assert one.due_at(waiting) <= now + GATHER_SECONDS * 1.001
