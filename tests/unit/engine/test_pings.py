"""When sessions are pinged, and what becomes of those that do not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from constellation_ws.runtime.turns import paced
from tests.conformance.wire import Wire
from tests.loop_turns import Others
from tests.unit.engine.world import (
    World,
    heard,
    serving,
)
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


async def beat(world: World, client: Wire) -> None:
    """Let time go by until the client is asked, and have it answer."""
    world.pass_seconds(26)
    assert await client.message() == "2"
    await client.send("3")
    await client.send('42/chats,["unknown"]')
    await eventually(
        lambda: not any(session.awaits_pong for session in world.engine.sockets.values()),
        PATIENCE_SECONDS,
        "the answer has come",
    )


async def test_who_answers_is_asked_once_an_interval_and_stays(world: World) -> None:
    async with world.member() as client:
        for _ in range(5):
            await beat(world, client)
        world.publish(1)
        assert await client.message() == heard(1)


async def test_who_does_not_answer_is_told_and_closed(world: World) -> None:
    async with world.member() as client:
        world.pass_seconds(26 + 21)
        assert await client.messages_to_the_end() == (["2"], 1000)
    await world.empty()


async def test_who_polls_and_answers_stays_and_who_does_not_is_forgotten(world: World) -> None:
    async with world.http() as http:
        polling, silent = await http.open(), await http.open()
        for one in (polling, silent):
            await one.send("40/chats")
            await one.packets()
        for _ in range(3):
            world.pass_seconds(26)
            assert await polling.packets() == ["2"]
            await polling.send("3")
            world.pass_seconds(15)
        assert world.sids == [polling.sid]
        assert (await silent.poll()).status == 400
        world.publish(1)
        assert await polling.packets() == [heard(1)]


async def test_events_keep_nobody_alive(world: World) -> None:
    """Only an answer shows that somebody is there."""
    async with world.member() as client:
        for number in range(60):
            world.publish(number)
            world.pass_seconds(1)
        messages, code = await client.messages_to_the_end()
    assert code == 1000
    assert messages.count("2") == 1


async def test_first_pings_are_spread_and_none_is_late(world: World) -> None:
    """After a roll thousands connect within a second."""
    engine = world.engine
    for _ in range(500):
        engine.open("", "", [])
    asked: list[int] = []
    for _ in range(26):
        for _ in engine.advance(world.clock.monotonic()):
            pass
        asked.append(sum(session.awaits_pong for session in engine.sockets.values()) - sum(asked))
    assert sum(asked) == 500
    assert sum(asked[:16]) == 0
    assert sum(asked[23:]) == 0, "23 seconds at most: nine tenths of the interval, rounded up"
    assert max(asked) < 250


async def test_thousands_of_pings_at_once_are_written_in_turns_with_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0.0)  # a step is a turn
    engine, others = world.engine, Others()
    pinged_at: list[int] = []
    world.seen.on_ping = lambda sid: pinged_at.append(others.turns)
    for _ in range(1_000):
        engine.pings._wheel.put(engine.open("", "", []), 0)
    with others.having_turns():
        async for _ in paced(engine.advance(world.clock.monotonic())):
            pass
    assert len(pinged_at) == 1_000
    assert len(set(pinged_at)) > 900
