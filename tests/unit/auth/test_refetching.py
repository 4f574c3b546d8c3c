"""When keys are fetched again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.auth import refetching
from constellation_ws.auth.refetching import USUAL_PACE, Doubts, Pace, Refetching

PACE = Pace(
    interval_seconds=300, first_retry_seconds=1, longest_retry_seconds=30, cooldown_seconds=10
)


def never_less() -> float:
    return 0.0


def test_the_first_fetch_is_due_at_once_and_the_next_after_the_interval() -> None:
    plan = Refetching(PACE, never_less)
    assert plan.due_at == 0
    plan.fetched(succeeded=True, now_seconds=100)
    assert plan.due_at == 400
    assert not plan.has_failed


def test_after_a_failure_it_is_tried_again_soon_and_ever_less_often() -> None:
    plan = Refetching(PACE, never_less)
    delays = []
    for now in range(8):
        plan.fetched(succeeded=False, now_seconds=now)
        delays.append(plan.due_at - now)
        assert plan.has_failed
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]
    plan.fetched(succeeded=True, now_seconds=8)
    plan.fetched(succeeded=False, now_seconds=9)
    assert plan.due_at == 10


def test_it_can_be_asked_for_a_fetch_out_of_turn_but_seldom() -> None:
    plan = Refetching(PACE, never_less)
    plan.fetched(succeeded=True, now_seconds=100)
    assert plan.ask(150)
    assert plan.due_at == 150
    plan.fetched(succeeded=True, now_seconds=151)
    assert not plan.ask(159.9)
    assert plan.due_at == 451
    assert plan.ask(160)
    assert plan.ask(1_000)


def test_the_usual_pace_is_the_documented_one() -> None:
    assert PACE == USUAL_PACE == Pace()


@given(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 100))
def test_chance_brings_a_fetch_forward_by_a_fifth_at_most(
    chance: float, succeeded: bool, failures: int
) -> None:
    plan, exact = Refetching(PACE, lambda: chance), Refetching(PACE, never_less)
    for one in (plan, exact):
        for _ in range(failures):
            one.fetched(succeeded=False, now_seconds=0)
        one.fetched(succeeded=succeeded, now_seconds=0)
    assert 0.8 * exact.due_at <= plan.due_at <= exact.due_at <= 300


def test_a_doubt_dates_from_its_first_time() -> None:
    doubts = Doubts()
    assert doubts.since("x", 10) == doubts.since("x", 20) == 10
    assert doubts.since("y", 20) == 20


def test_doubts_are_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refetching, "MAX_DOUBTS", 3)
    doubts = Doubts()
    assert [doubts.since(what, now) for now, what in enumerate("abcd")] == [0, 1, 2, 3]
    assert doubts.since("d", 9) == 3
    assert doubts.since("b", 9) == 1
    assert doubts.since("a", 9) == 9
