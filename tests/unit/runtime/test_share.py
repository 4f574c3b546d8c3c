"""How long a slice of a turn is."""

from __future__ import annotations

import pytest

from constellation_ws.runtime.share import SLICE_SECONDS, slice_seconds


def test_a_slice_is_short_and_a_fifth_of_a_long_turn() -> None:
    assert slice_seconds(0.0) == SLICE_SECONDS
    assert slice_seconds(0.001) == SLICE_SECONDS
    assert slice_seconds(0.008) == pytest.approx(0.002)
    assert slice_seconds(10.0) < 0.02
