"""A part of the time: what may be used at once, and what is owed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.messages.share import Share

SHARE = Share(part=0.1, burst_seconds=0.01)


def test_a_burst_may_be_used_at_once_and_more_has_to_wait() -> None:
    free = 0.0
    for used in range(9):
        free = SHARE.free_at(free, 100.0, 100.001)
        assert free < 100.0, used
    free = SHARE.free_at(SHARE.free_at(free, 100.0, 100.001), 100.0, 100.001)
    assert free == pytest.approx(100.01)


def test_what_is_not_used_is_not_saved_up() -> None:
    assert SHARE.free_at(0.0, 1_000.0, 1_000.002) == pytest.approx(1_000.0 - 0.1 + 0.02)


def test_a_pause_of_the_machine_is_not_charged() -> None:
    assert SHARE.free_at(0.0, 100.0, 103.0) < 103.0


@given(st.lists(st.floats(0.00001, 0.002), max_size=200))
def test_in_the_long_run_nobody_uses_more_than_the_part(uses: list[float]) -> None:
    now, free, used = 50.0, 0.0, 0.0
    for seconds in uses:
        now = max(now, free)
        free = SHARE.free_at(free, now, now + seconds)
        now, used = now + seconds, used + seconds
    assert used <= 0.01 + 0.002 + 0.1 * (now - 50.0) + 1e-6
