"""Who is closed when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.engine.session import EngineSession
from constellation_ws.process.closing import (
    age,
    close_aged,
    close_evenly,
    close_expired,
    closed_by,
)
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.gateway import Gateway
from tests.loop_turns import Others
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

MANY = 1_000


class World:
    """A gateway that is made and never run, with many sessions; when each was closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, window_seconds: float = 0.0) -> None:
        monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0.0)  # a step is a turn
        draining = {"drain_window_seconds": window_seconds, "max_connection_age_seconds": 0.01}
        self.gateway = Gateway(defaults(draining=draining), lambda work: work.close())
        self.others = Others()
        self.closed_at: list[int] = []
        self.closed: list[EngineSession] = []
        monkeypatch.setattr(self.gateway.clients.closing, "close", self._close)
        self.sessions = [self.gateway.clients.engine.open("", "", []) for _ in range(MANY)]

    def _close(self, session: EngineSession, reason: str) -> None:
        self.closed_at.append(self.others.turns)
        self.closed.append(session)
        self.gateway.clients.server.close_session(session, reason)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.parametrize(
    "close",
    [
        close_expired,
        close_aged,
        lambda gateway, alive: close_evenly(gateway, "drain"),
    ],
    ids=["expired", "aged", "drained"],
)
async def test_thousands_are_closed_in_turns_with_the_loop(
    world: World, close: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    for session in world.sessions:
        world.gateway.clients.expiries.put(session.sid, time.time() - 1)
    with world.others.having_turns():
        closing = asyncio.create_task(close(world.gateway, lambda: None))
        await eventually(lambda: len(world.closed_at) == MANY, PATIENCE_SECONDS, "all are closed")
        await cancelled([closing])
    assert len(set(world.closed_at)) > 0.9 * MANY


async def test_who_has_something_to_fetch_is_closed_when_it_has_or_the_window_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, window_seconds=1.0)
    late, never, *_ = world.sessions
    for session in (late, never):
        session.queue("4something")
    draining = asyncio.create_task(close_evenly(world.gateway, "drain"))
    half = MANY // 2
    await eventually(lambda: len(world.closed) > half, PATIENCE_SECONDS, "half are closed")
    assert not {late, never} & set(world.closed)
    late.pop_outbox()
    await eventually(lambda: late in world.closed, PATIENCE_SECONDS, "it has fetched all")
    assert await draining == MANY
    assert world.closed.index(never) > half


async def test_a_token_that_is_refreshed_while_others_expire_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiries = world.gateway.clients.expiries
    for session in world.sessions:
        expiries.put(session.sid, time.time() - 1)
    refreshed = world.sessions[-1]
    close = world.gateway.clients.closing.close

    def refresh_and_close(session: EngineSession, reason: str) -> None:
        if session is world.sessions[0]:
            expiries.put(refreshed.sid, time.time() + 3_600)
        close(session, reason)

    monkeypatch.setattr(world.gateway.clients.closing, "close", refresh_and_close)
    closing = asyncio.create_task(close_expired(world.gateway, lambda: None))
    await eventually(
        lambda: len(world.closed_at) >= MANY - 1, PATIENCE_SECONDS, "the others are closed"
    )
    await cancelled([closing])
    assert not refreshed.closed


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


@given(st.floats(0.1, 86_400), st.floats(0, 1, exclude_max=True))
def test_chance_takes_off_a_fifth_of_an_age_at_most(most: float, chance: float) -> None:
    assert 0.8 * most * (1 - 1e-9) <= age(most, chance) <= most
