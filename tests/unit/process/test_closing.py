"""Who is closed when: the plan itself is `drain`'s, `expiry`'s and `rebalancing`'s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from constellation_ws.engine.session import Session
from constellation_ws.process.closing import close_aged, close_evenly, close_expired
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.gateway import Gateway
from tests.loop_turns import Others
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

MANY = 1_000


class World:
    """A gateway that is made and never run, with many sessions; when each was closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0.0)  # a step is a turn
        values: dict[str, Any] = {"drain_window_seconds": 0, "max_connection_age_seconds": 0.01}
        self.gateway = Gateway(Settings.model_construct(**values), lambda work: work.close())
        self.others = Others()
        self.closed_at: list[int] = []
        monkeypatch.setattr(self.gateway, "close_session", self._close)
        self.sessions = [self.gateway.engine.open("", "", []) for _ in range(MANY)]

    def _close(self, session: Session, reason: str) -> None:
        self.closed_at.append(self.others.turns)
        self.gateway.server.end(session, reason)


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
        world.gateway.chats.expiries.put(session.sid, time.time() - 1)
    with world.others.having_turns():
        closing = asyncio.create_task(close(world.gateway, lambda: None))
        await eventually(lambda: len(world.closed_at) == MANY, PATIENCE_SECONDS, "all are closed")
        await cancelled([closing])
    assert len(set(world.closed_at)) > 0.9 * MANY


async def test_a_token_that_is_refreshed_while_others_expire_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiries = world.gateway.chats.expiries
    for session in world.sessions:
        expiries.put(session.sid, time.time() - 1)
    refreshed = world.sessions[-1]
    close = world.gateway.close_session

    def refresh_and_close(session: Session, reason: str) -> None:
        if session is world.sessions[0]:
            expiries.put(refreshed.sid, time.time() + 3_600)
        close(session, reason)

    monkeypatch.setattr(world.gateway, "close_session", refresh_and_close)
    closing = asyncio.create_task(close_expired(world.gateway, lambda: None))
    await eventually(
        lambda: len(world.closed_at) >= MANY - 1, PATIENCE_SECONDS, "the others are closed"
    )
    await cancelled([closing])
    assert not refreshed.closed
