"""Clients that do not read: cut off at their bound, their memory freed, the others unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from service.engine.connection import WebSocketConnection
from tests.conformance.wire import Wire
from tests.unit.engine.world import World, flood, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import client_close

KERNEL_BYTES = 16_000_000
"""More than the kernel's buffers on both sides take."""
LARGE = b"x" * 20_000


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving(max_write_buffer_bytes=100_000) as world:
        yield world


async def publish_until(world: World, readers: list[Wire], dropped: int) -> int:
    """Publish until so many were dropped, while readers keep up; return how many events it took."""
    number = 0
    while world.dropped < dropped:
        assert number * len(LARGE) < 2 * KERNEL_BYTES, "nobody was dropped"
        world.publish(number, payload=LARGE)
        for reader in readers:
            assert await reader.packet() == heard(number, LARGE.decode())
        number += 1
    return number


async def test_one_that_stops_reading_is_cut_off_and_the_others_miss_nothing(world: World) -> None:
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(world.member()) for _ in range(5)]
        await stack.enter_async_context(world.member())  # and never reads again
        slow = world.engine.sockets[world.sids[-1]]
        events = await publish_until(world, readers, dropped=1)
        assert slow.closed
        assert slow.write is None
        await world.settled()
        assert len(world.rooms) == 5
        world.publish(events)
        for reader in readers:
            assert await reader.packet() == heard(events)
        assert world.dropped == 1
    await world.empty()


async def test_the_memory_of_who_was_cut_off_is_given_back(world: World) -> None:
    async with world.member():
        (session,) = world.engine.sockets.values()
        websocket = session.websocket
        assert isinstance(websocket, WebSocketConnection)
        transport = websocket._transport
        await publish_until(world, [], dropped=1)
        await eventually(lambda: websocket._session is None, PATIENCE_SECONDS, "the socket is gone")
        # The loop lets go of it in its own time.
        await eventually(
            lambda: transport.get_write_buffer_size() == 0, PATIENCE_SECONDS, "nothing is held"
        )
        await world.empty()


async def test_one_that_reads_slowly_but_in_time_is_left_alone(world: World) -> None:
    async with world.member() as client:
        for number in range(500):
            world.publish(number, payload=b"x" * 2_000)
            if number % 10 == 9:
                expected = [heard(n, "x" * 2_000) for n in range(number - 9, number + 1)]
                assert [await client.packet() for _ in range(10)] == expected
    assert world.dropped == 0


async def test_a_burst_below_the_bound_harms_nobody(world: World) -> None:
    async with world.member() as client:
        world.publish(*range(40), payload=b"x" * 2_000)
        heard_ones = [await client.packet() for _ in range(40)]
    assert heard_ones == [heard(number, "x" * 2_000) for number in range(40)]
    assert world.dropped == 0


async def test_several_that_stop_reading_are_cut_off_within_one_batch(world: World) -> None:
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(world.member())
        for _ in range(10):
            await stack.enter_async_context(world.member())
        await publish_until(world, [reader], dropped=10)
        await world.settled()
        assert len(world.rooms) == 1
    await world.empty()


async def test_who_polls_no_more_is_cut_off_at_the_bound(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = world.engine.sockets.values()
        for number in range(4):
            world.publish(number, payload=LARGE)
        assert (world.dropped, session.closed) == (0, False)
        assert session.outbox_bytes > 80_000
        for number in range(4, 100):
            world.publish(number, payload=LARGE)
        assert (world.dropped, session.closed) == (1, True)
        assert (session.outbox, session.outbox_bytes) == ([], 0)
        assert (await polling.poll()).status == 400
    await world.empty()


async def test_who_polls_in_time_gets_all_that_waited(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        for start in range(0, 40, 4):
            for number in range(start, start + 4):
                world.publish(number, payload=LARGE)
            expected = [heard(n, LARGE.decode()) for n in range(start, start + 4)]
            assert await polling.packets() == expected
        (session,) = world.engine.sockets.values()
        assert session.outbox_bytes == 0
    assert world.dropped == 0


async def test_who_floods_pings_and_reads_no_pong_is_cut_off(world: World) -> None:
    async with world.member() as other, world.member() as client:
        with pytest.raises(ConnectionError):
            await flood(client)
        await world.settled()
        assert world.dropped == 1
        world.publish(1)
        assert await other.packet() == heard(1)


@pytest.mark.parametrize("goodbye", ["drain", "client's close frame", "half-close"])
async def test_who_does_not_even_read_the_goodbye_is_hung_up_on_in_the_end(goodbye: str) -> None:
    async with serving(max_write_buffer_bytes=50_000_000) as world, world.member() as client:
        (session,) = world.engine.sockets.values()
        while session.is_flushed:  # until the kernel takes no more
            world.publish(0, payload=LARGE)
            await asyncio.sleep(0)
        world.publish(0, payload=LARGE)
        assert session.waiting_bytes > len(LARGE)
        if goodbye == "drain":
            world.server.end(session, "drain")
        elif goodbye == "half-close":
            client.half_close()
        else:
            await client.write(client_close(1000))
        await eventually(lambda: session.closed, PATIENCE_SECONDS, "the session is closed")
        await world.settled()
        assert world.left() == {"ending": 1}
        world.pass_seconds(6)
        await world.empty()


async def test_one_event_larger_than_the_bound_still_reaches_who_reads() -> None:
    """What the kernel takes at once does not wait."""
    async with serving(max_write_buffer_bytes=10_000) as world, world.member() as client:
        world.publish(1, payload=b"x" * 50_000)
        assert await client.packet() == heard(1, "x" * 50_000)
    assert world.dropped == 0
