"""Long work leaves the event loop to others once its turn is over, and not before."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from constellation_ws.runtime import turns
from constellation_ws.runtime.turns import Turn, paced


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=time.monotonic())
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_turn_is_over_after_its_time(clock: SimpleNamespace) -> None:
    turn = Turn()
    assert not turn.is_over
    clock.now += turns.TURN_SECONDS
    assert turn.is_over


async def test_others_have_their_turn_when_one_is_over(clock: SimpleNamespace) -> None:
    loop, others = asyncio.get_running_loop(), list[int]()
    seen = []
    async for number in paced(range(10)):
        loop.call_soon(others.append, number)
        seen.append((number, tuple(others)))
        clock.now += turns.TURN_SECONDS / 3.9  # no sum that rounding keeps below the whole
    assert seen[3] == (3, ()), "the turn is not over"
    assert seen[4] == (4, (0, 1, 2, 3))
    assert seen[8] == (8, tuple(range(8)))
