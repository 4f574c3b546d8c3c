"""Events that are written past a transport keep their order with all that goes through it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from constellation_ws.runtime import direct
from tests.unit.engine.world import TARGET, World, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.skipif(not direct.IS_COMPILED, reason="_sending was not compiled here")
PAYLOAD = b"x" * 50_000


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving(max_write_buffer_bytes=1_000_000, max_event_bytes=100_000) as world:
        yield world


async def test_what_is_buffered_comes_before_what_is_published_later(world: World) -> None:
    async with world.member() as client, world.member() as other:
        session, *_ = world.engine.sockets.values()
        descriptor, number = session.descriptor, 0
        assert descriptor >= 0
        while session.descriptor >= 0:
            world.publish(number, payload=PAYLOAD)
            assert await other.packet() == heard(number, PAYLOAD.decode())
            number += 1
        session.send_text(b"2/chats,7[]")  # an event of another kind, by way of the transport
        world.publish(number, number + 1, payload=PAYLOAD)

        before = [heard(one, PAYLOAD.decode()) for one in range(number)]
        assert [await client.packet() for _ in range(number)] == before
        assert await client.packet() == "42/chats,7[]"
        after = [heard(one, PAYLOAD.decode()) for one in (number, number + 1)]
        assert [await client.packet(), await client.packet()] == after
        await eventually(
            lambda: session.descriptor == descriptor, PATIENCE_SECONDS, "it is written to directly"
        )


async def test_a_session_that_is_closed_has_no_descriptor(world: World) -> None:
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        world.engine.close(session, "enough")
        assert session.descriptor == direct.NOT_DIRECT
        assert await client.closed() == 1000


async def test_a_session_that_polls_has_none_until_it_is_upgraded(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        (session,) = world.engine.sockets.values()
        assert session.descriptor == direct.NOT_DIRECT
        async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
            await client.send("2probe")
            await client.message()
            assert session.descriptor == direct.NOT_DIRECT
            await client.send("5")
            await eventually(lambda: session.descriptor >= 0, PATIENCE_SECONDS, "it is upgraded")
