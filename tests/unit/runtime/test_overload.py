"""When a pod counts as overloaded, and until when: by the lag of its loop, by its memory."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from constellation_ws.runtime.overload import (
    IN_TIME_SECONDS,
    LAG_WINDOW_SECONDS,
    LATE_SECONDS,
    Overload,
)


class Loop:
    """An event loop that is measured ten times a second, later where it is late."""

    def __init__(self) -> None:
        self.overload = Overload()
        self.now = 1_000.0

    def lag(self, seconds: float, *lags: float) -> None:
        """Let so much time go by with these lags in turn."""
        until, number = self.now + seconds, 0
        while self.now < until:
            lag = lags[number % len(lags)]
            number += 1
            self.now += 0.1 + lag
            self.overload.note_lag(lag, self.now)


def test_a_loop_that_stays_late_for_seconds_is_overloaded_until_it_is_in_time() -> None:
    loop = Loop()
    loop.lag(60, 0.0)
    loop.lag(LAG_WINDOW_SECONDS / 3, LATE_SECONDS)
    assert not loop.overload.is_on(), "not for long enough"
    loop.lag(LAG_WINDOW_SECONDS, LATE_SECONDS)
    assert loop.overload.reason == "the event loop is 0.5 s late"
    loop.lag(60, (LATE_SECONDS + IN_TIME_SECONDS) / 2)
    assert loop.overload.is_on(), "it does not flap in between"
    loop.lag(LAG_WINDOW_SECONDS, IN_TIME_SECONDS)
    assert loop.overload.reason is None


@pytest.mark.parametrize("lags", [(30.0, 0.0, 0.0), (0.0,), (LATE_SECONDS - 0.01,)])
def test_a_pause_a_hiccup_or_a_moderate_lag_is_no_overload(lags: Iterable[float]) -> None:
    """A process that was paused for half a minute has one late timer."""
    loop = Loop()
    loop.lag(60, *lags)
    assert not loop.overload.is_on()


def test_a_loop_that_is_far_behind_is_overloaded_until_nothing_holds_it() -> None:
    loop = Loop()
    loop.lag(60, 2.0)
    assert loop.overload.reason == "the event loop is 2.0 s late"
    loop.lag(2 * LAG_WINDOW_SECONDS, 0.0)
    assert not loop.overload.is_on()


def test_a_process_that_has_just_begun_is_not_overloaded() -> None:
    loop = Loop()
    loop.lag(3, 1.0)
    assert not loop.overload.is_on()


def test_memory_near_its_limit_counts_until_there_is_room_again() -> None:
    overload = Overload()
    seen = []
    for used in (0, 89, 90, 100, 85, 81, 80, 89, 90):
        overload.note_memory(used, 100)
        seen.append(overload.is_on())
    assert seen == [False, False, True, True, True, True, False, False, True]
    for used, is_on in ((20, False), (97, True), (20, False)):
        overload.note_memory(used, 100)
        assert overload.is_on() is is_on
    overload.note_memory(90, 100)
    assert overload.reason == "90% of the container's memory is in use"
