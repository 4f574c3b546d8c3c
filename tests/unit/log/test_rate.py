"""When a rate of events is high enough that appends should keep a distance."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.rate import HIGH_PER_SECOND, AppendRate

APPEND_SECONDS = 0.01


def high(
    seconds: float, *rates: Callable[[AppendRate], float], rate: AppendRate | None = None
) -> list[bool]:
    """Append at each rate for so long; say after each append whether it is high."""
    one, now, found = rate or AppendRate(), 1_000.0, []
    for per_second in rates:
        for _ in range(round(seconds / APPEND_SECONDS)):
            now += APPEND_SECONDS
            one.note(round(per_second(one) * APPEND_SECONDS), now)
            found.append(one.is_high)
    return found


def even(per_second: float) -> Callable[[AppendRate], float]:
    return lambda _: per_second


def test_nothing_is_high_before_anything_is_appended() -> None:
    assert not AppendRate().is_high


def test_a_low_rate_is_never_high() -> None:
    assert not any(high(2, even(HIGH_PER_SECOND * 0.9)))


def test_a_high_rate_is_noticed_within_two_tenths_of_a_second_and_so_is_its_end() -> None:
    found = high(2, even(HIGH_PER_SECOND * 3), even(HIGH_PER_SECOND / 2))
    assert found.index(True) * APPEND_SECONDS <= 0.2
    assert all(found[20:200])
    assert not any(found[220:])


def test_one_burst_after_silence_is_not_a_high_rate() -> None:
    one = AppendRate()
    one.note(1, 1_000.0)
    one.note(5_000, 1_002.0)
    assert not one.is_high


def test_the_first_event_after_a_high_rate_and_silence_ends_it() -> None:
    one = AppendRate()
    high(1, even(HIGH_PER_SECOND * 3), rate=one)
    assert one.is_high
    one.note(1, 1_003.0)
    assert not one.is_high


def test_publishers_that_wait_for_delivery_are_left_alone() -> None:
    """Where appends keep a distance they publish less: that is tried once in ten seconds."""
    found = high(20, lambda rate: HIGH_PER_SECOND * (2 if rate.is_high else 4))
    assert 0 < sum(found) * APPEND_SECONDS <= 0.3


def test_a_rate_that_varies_stays_high() -> None:
    assert all(high(1, even(30_000), even(40_000), even(24_000), even(30_000))[20:])


@given(st.lists(st.tuples(st.integers(0, 2_000), st.floats(0, 1)), max_size=50))
def test_what_is_high_was_appended(appends: list[tuple[int, float]]) -> None:
    one, now, total = AppendRate(), 1_000.0, 0
    for count, seconds in appends:
        now, total = now + seconds, total + count
        one.note(count, now)
        assert not one.is_high or total >= HIGH_PER_SECOND / 10


STEP_SECONDS = 0.125
"""A little more than a step, and a sum of powers of two."""


def steps(*counts: int) -> list[bool]:
    """Append so many events in each step; say after each whether the rate is high."""
    one, found = AppendRate(), []
    one.note(0, 1_024.0)
    for number, count in enumerate(counts, 1):
        one.note(count, 1_024.0 + number * STEP_SECONDS)
        found.append(one.is_high)
    return found


def test_the_bound_itself_is_high() -> None:
    bound = round(HIGH_PER_SECOND * STEP_SECONDS)
    assert steps(bound - 1, bound, bound, bound - 1) == [False, True, True, False]


def test_a_rate_is_judged_by_a_tenth_of_a_second_at_least() -> None:
    one = AppendRate()
    one.note(0, 1_024.0)
    one.note(10_000, 1_024.0 + 3 / 32)
    assert not one.is_high
    one.note(0, 1_024.125)
    assert one.is_high


def test_a_rate_that_falls_with_the_distance_is_compared_once() -> None:
    before, least = 1_250, 875
    assert steps(before, least, least, before) == [True] * 4
    assert steps(before, least - 1, before, before) == [True, False, False, False]
    assert steps(before, before, least - 1, before) == [True] * 4


def test_it_is_tried_again_after_ten_seconds() -> None:
    rests = round(10 / STEP_SECONDS)
    assert steps(1_250, 0, *[1_250] * rests) == [True, *[False] * rests, True]
