"""How many calls may run: more for a slow API that copes, fewer for one that does not."""

from __future__ import annotations

from constellation_ws.access.limit import (
    ENOUGH_PER_SECOND,
    FIRST_CALLS,
    LEAST_CALLS,
    MOST_CALLS,
    CallLimit,
)


def after(limit: CallLimit, answers: int, seconds: float, *, others_wait: bool = True) -> int:
    for _ in range(answers):
        limit.answered(0, seconds, others_wait=others_wait)
    return limit.calls


def test_calls_are_added_while_answers_take_long_but_come_soon_enough() -> None:
    assert after(CallLimit(2), 10_000, 0.3) == MOST_CALLS
    assert after(CallLimit(2), 10_000, 0.1) == 0.1 * ENOUGH_PER_SECOND


def test_none_is_added_for_an_api_that_is_fast_or_idle_or_close_to_its_timeout() -> None:
    for seconds in (0.005, 0.06, 0.6, 1.9):
        assert after(CallLimit(2), 10_000, seconds) == FIRST_CALLS
    assert after(CallLimit(2), 10_000, 0.3, others_wait=False) == FIRST_CALLS


def test_one_call_is_added_for_an_answer_whatever_the_clock_says() -> None:
    limit = CallLimit(2)
    limit.answered(1_000.0, 1_000.3, others_wait=True)
    assert limit.calls == FIRST_CALLS + 1


def test_calls_that_were_added_stay_while_nothing_is_late() -> None:
    limit = CallLimit(2)
    added = after(limit, 100, 0.3)
    assert added > 0.1 * ENOUGH_PER_SECOND
    for seconds in (0.005, 0.1, 0.6, 0.9):
        for others_wait in (False, True):
            assert after(limit, 10, seconds, others_wait=others_wait) == added


def test_late_answers_add_no_calls_to_those_that_timeouts_have_left() -> None:
    limit = CallLimit(2)
    for now in range(1, 5):
        limit.timed_out(started=now, now=now + 0.5)
    assert limit.calls == 20
    limit.answered(10.0, 11.5, others_wait=True)
    assert limit.calls == 20


def test_an_answer_too_late_takes_calls_away_once_for_all_that_ran_at_the_time() -> None:
    limit = CallLimit(2)
    for _ in range(FIRST_CALLS):
        limit.timed_out(started=0, now=2)
    assert limit.calls == FIRST_CALLS * 3 // 4
    limit.timed_out(started=2.1, now=4.1)
    assert limit.calls == FIRST_CALLS * 9 // 16


def test_calls_that_were_added_are_taken_back_when_answers_hardly_come_in_time() -> None:
    limit = CallLimit(2)
    after(limit, 1_000, 0.3)
    found = []
    for now in (2, 4, 6, 8, 10, 12):
        for _ in range(MOST_CALLS):
            limit.answered(now, now + 1.1, others_wait=True)
        found.append(limit.calls)
    assert found == [192, 144, 108, 81, 64, 64]


def test_a_few_calls_are_left_however_long_it_lasts_and_answers_bring_the_others_back() -> None:
    limit = CallLimit(2)
    for now in range(100):
        limit.timed_out(started=now, now=now + 0.5)
    assert limit.calls == LEAST_CALLS
    assert after(limit, 10_000, 0.005) == FIRST_CALLS


class Workers:
    """An API that works on so many questions at a time, and for so long on each."""

    def __init__(self, workers: int, seconds: float) -> None:
        self._workers = workers
        self._seconds = seconds

    def serve(self, limit: CallLimit, rounds: int) -> float:
        """Ask as much as may be asked, round by round; say how long an answer takes then."""
        now = seconds = 0.0
        for _ in range(rounds):
            calls = limit.calls
            seconds = self._seconds * max(1.0, calls / self._workers)
            for _ in range(calls):
                limit.answered(now, now + seconds, others_wait=True)
            now += seconds
        return seconds


def test_a_small_api_is_not_asked_more_than_it_can_answer_in_time() -> None:
    for workers in (32, 64, 100, 1_000):
        for seconds in (0.005, 0.05, 0.3):
            assert Workers(workers, seconds).serve(CallLimit(2), 100) < 2 / 2 + 0.01
