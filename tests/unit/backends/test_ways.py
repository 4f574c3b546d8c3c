"""How much of a backend's timeout goes to connecting."""

from __future__ import annotations

import pytest

from constellation_ws.backends.ways import connect_seconds


@pytest.mark.parametrize(("timeout", "seconds"), [(0.001, 0.0005), (1, 0.5), (5, 2), (60, 2)])
def test_half_of_the_timeout_and_two_seconds_at_most(timeout: float, seconds: float) -> None:
    assert connect_seconds(timeout) == seconds
