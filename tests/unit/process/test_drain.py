"""How many sockets of a drain are closed when."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.process.drain import closed_by

totals = st.integers(0, 200_000)
windows = st.floats(0, 86_400)
shares = st.floats(0, 1.2)


@given(totals, windows, st.lists(shares, max_size=20))
def test_what_is_closed_stays_closed_and_is_never_more_than_there_is(
    total: int, window: float, moments: list[float]
) -> None:
    closed = [closed_by(total, share * window, window) for share in sorted(moments)]
    assert all(earlier <= later for earlier, later in pairwise(closed))
    assert all(0 <= count <= total for count in closed)


@given(totals, windows, st.floats(0, 1000))
def test_all_are_closed_when_the_window_is_over(total: int, window: float, late: float) -> None:
    assert closed_by(total, window, window) == total
    assert closed_by(total, window + late, window) == total


@given(totals, st.floats(0.1, 86_400), st.floats(0, 1))
def test_the_closing_is_even_over_the_window(total: int, window: float, share: float) -> None:
    assert abs(closed_by(total, share * window, window) - total * share) <= 1 + total * 1e-9


@pytest.mark.parametrize(
    ("elapsed", "closed"), [(0.0, 0), (0.1, 1), (5.0, 25), (10.0, 50), (19.99, 100), (20.0, 100)]
)
def test_a_hundred_sockets_take_twenty_seconds(elapsed: float, closed: int) -> None:
    assert closed_by(100, elapsed, 20.0) == closed


def test_without_a_window_all_are_closed_at_once() -> None:
    assert closed_by(7, 0.0, 0.0) == 7
    assert closed_by(0, 0.0, 0.0) == 0
