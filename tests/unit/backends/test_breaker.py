"""The breaker's table, row by row, and what holds in whatever order things happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.backends.breaker import (
    LEAST_PAUSE_SECONDS,
    MAX_FAILURES,
    MOST_PAUSE_SECONDS,
    Breaker,
    State,
)


def admitted(breaker: Breaker, now: float = 0.0) -> int:
    admission = breaker.admit(now)
    assert admission is not None
    return admission


def fail(breaker: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        breaker.failed(admitted(breaker, now), now, object())


@pytest.fixture
def opened() -> Breaker:
    """A breaker that has opened at 0."""
    breaker = Breaker()
    fail(breaker, MAX_FAILURES)
    return breaker


def test_its_numbers_are_the_documented_ones() -> None:
    assert (MAX_FAILURES, LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS) == (5, 1, 30)


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()
    fail(breaker, MAX_FAILURES - 1)
    assert breaker.state is State.CLOSED
    fail(breaker, 1)
    assert breaker.state is State.OPEN


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker()
    for _ in range(10):
        fail(breaker, MAX_FAILURES - 1)
        breaker.succeeded(admitted(breaker))
    assert breaker.state is State.CLOSED


def test_what_fails_of_one_event_counts_once() -> None:
    """All that wait on one connection lose it together, and the next one may work."""
    breaker = Breaker()
    for _ in range(MAX_FAILURES - 1):
        event = object()
        for _ in range(100):
            breaker.failed(admitted(breaker), 0.0, event)
    assert breaker.state is State.CLOSED
    fail(breaker, 1)
    assert breaker.state is State.OPEN
    probe = admitted(breaker, 1.0)
    breaker.failed(probe, 1.0, event)
    assert breaker.state is State.OPEN, "the probe counts in any case"


def test_a_probe_that_fails_of_the_last_event_counts() -> None:
    breaker, event = Breaker(), object()
    fail(breaker, MAX_FAILURES - 1)
    breaker.failed(admitted(breaker), 0.0, event)
    breaker.failed(admitted(breaker, LEAST_PAUSE_SECONDS), LEAST_PAUSE_SECONDS, event)
    assert breaker.state is State.OPEN


def test_failures_count_though_a_request_has_succeeded_since_theirs_were_admitted() -> None:
    breaker = Breaker()
    first, *others = [admitted(breaker) for _ in range(1 + MAX_FAILURES)]
    breaker.succeeded(first)
    for one in others:
        breaker.failed(one, 0.0, object())
    assert breaker.state is State.OPEN


def test_while_it_is_open_nothing_is_admitted_before_the_pause_ends(opened: Breaker) -> None:
    assert opened.admit(LEAST_PAUSE_SECONDS - 0.001) is None
    assert opened.state is State.OPEN


def test_after_the_pause_one_request_is_admitted(opened: Breaker) -> None:
    assert opened.admit(LEAST_PAUSE_SECONDS) is not None
    assert opened.state is State.HALF_OPEN
    assert opened.admit(1_000) is None


def test_a_probe_that_succeeds_closes_it_and_failures_count_from_none(opened: Breaker) -> None:
    opened.succeeded(admitted(opened, LEAST_PAUSE_SECONDS))
    assert opened.state is State.CLOSED
    fail(opened, MAX_FAILURES - 1)
    assert opened.state is State.CLOSED
    fail(opened, 1)
    assert opened.pause_seconds == LEAST_PAUSE_SECONDS, "the first pause again"


def test_probes_that_fail_make_pauses_longer_up_to_a_bound(opened: Breaker) -> None:
    pauses, now = [], 0.0
    for _ in range(7):
        pauses.append(opened.pause_seconds)
        assert opened.admit(now + opened.pause_seconds - 0.001) is None
        now += opened.pause_seconds
        opened.failed(admitted(opened, now), now, object())
    assert pauses == [1, 2, 4, 8, 16, MOST_PAUSE_SECONDS, MOST_PAUSE_SECONDS]


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_how_older_requests_end_changes_nothing(end: str) -> None:
    breaker = Breaker()
    old = [admitted(breaker) for _ in range(20)]
    fail(breaker, MAX_FAILURES)
    for state, now in ((State.OPEN, 0.5), (State.HALF_OPEN, 1.0), (State.CLOSED, 1.0)):
        if state is State.HALF_OPEN:
            probe = admitted(breaker, now)
        if state is State.CLOSED:
            breaker.succeeded(probe)
        for admission in old:
            finish(breaker, admission, end, now)
        assert breaker.state is state
        assert breaker.pause_seconds == (0 if state is State.CLOSED else LEAST_PAUSE_SECONDS)


def finish(breaker: Breaker, admission: int, end: str, now: float) -> None:
    if end == "failed":
        breaker.failed(admission, now, object())
    else:
        breaker.succeeded(admission)


STEPS = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sampled_from(["request", "succeeded", "failed"]),
        st.integers(0, 20),
    ),
    max_size=200,
)


@given(STEPS)
def test_in_any_order_probes_are_single_and_none_is_forgotten(
    steps: list[tuple[float, str, int]],
) -> None:
    breaker, now, waiting = Breaker(), 0.0, list[int]()
    for seconds, what, index in steps:
        now += seconds
        before = breaker.state
        if what == "request":
            admission = breaker.admit(now)
            assert (admission is not None) >= (before is State.CLOSED)
            if admission is not None:
                assert before is not State.HALF_OPEN, "one probe at a time"
                waiting.append(admission)
        elif waiting:
            finish(breaker, waiting.pop(index % len(waiting)), what, now)
        assert 0 <= breaker.pause_seconds <= MOST_PAUSE_SECONDS
    # Whatever happened: once all requests have ended, the backend is tried again.
    for admission in waiting:
        finish(breaker, admission, "failed", now)
    probe = breaker.admit(now + MOST_PAUSE_SECONDS)
    assert probe is not None
    breaker.succeeded(probe)
    assert breaker.state is State.CLOSED
