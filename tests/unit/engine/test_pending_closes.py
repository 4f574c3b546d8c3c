"""Sessions that are closed while their client has not received it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conformance.polling import Polling
from tests.unit.engine.world import (
    World,
    heard,
    serving,
)
from tests.waiting import PATIENCE_SECONDS


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


async def test_pending_closes_are_waited_for_and_no_longer_than_their_time(world: World) -> None:
    async with world.http() as http, world.member() as deaf:
        polling: Polling = await http.open()
        forgetful: Polling = await http.open()
        for session in list(world.engine.sockets.values()):
            world.engine.close(session, "drain")
        saying = asyncio.create_task(world.engine.wait_for_pending_closes())
        assert await polling.packets() == ["1"]
        await world.settled()
        assert not saying.done()
        world.pass_seconds(6)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await saying
        assert (await forgetful.poll()).status == 400
        await deaf.closed()
    await world.empty()


async def test_a_close_is_fetched_once_with_all_that_came_before_it(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = world.engine.sockets.values()
        world.publish(1, 2)
        world.server.close_session(session, "drain")
        world.publish(3)
        # socket.io-client takes a Close up before the events of the same answer.
        assert await polling.packets() == [heard(1), heard(2)]
        assert await polling.packets() == ["1"]
        assert (await polling.poll()).status == 400
        assert (await polling.post("3")).status == 400
    await world.empty()
