"""How long a slice of a turn is."""

from __future__ import annotations

import pytest

from constellation_ws.messages.share import Share
from constellation_ws.runtime.share import AT_ONCE, PER_CONNECTION, SLICE_SECONDS, slice_seconds


def used_in(seconds: float, share: Share, each_seconds: float) -> float:
    """Use as much as may be used in so long, and say how much that was."""
    now, free, used = 100.0, 0.0, 0.0
    while now < 100.0 + seconds:
        now = max(now, free)
        free = share.free_at(free, now, now + each_seconds)
        now, used = now + each_seconds, used + each_seconds
    return used


def test_one_connection_has_a_twentieth_of_the_time_and_small_reads_have_half() -> None:
    assert used_in(1.0, PER_CONNECTION, 0.001) == pytest.approx(0.05, abs=0.01)
    assert used_in(1.0, AT_ONCE, 0.0001) == pytest.approx(0.5, abs=0.01)


def test_a_slice_is_short_and_a_fifth_of_a_long_turn() -> None:
    assert slice_seconds(0.0) == SLICE_SECONDS
    assert slice_seconds(0.001) == SLICE_SECONDS
    assert slice_seconds(0.008) == pytest.approx(0.002)
    assert slice_seconds(10.0) < 0.02
