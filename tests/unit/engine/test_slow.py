"""Clients that do not read: cut off at their bound, their memory freed, the others unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.session import EngineSession
from constellation_ws.engine.slow import GRACE_SECONDS
from constellation_ws.runtime import direct
from tests.conformance.wire import Wire
from tests.unit.engine.world import World, flood, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import client_close


@pytest.fixture(autouse=True, params=["past transports", "by transports"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write in either way: what holds for one holds for the other."""
    if request.param == "by transports":
        monkeypatch.setattr(direct, "IS_COMPILED", False)
    elif not direct.IS_COMPILED:
        pytest.skip("_sending was not compiled here")


KERNEL_BYTES = 16_000_000
"""More than the kernel's buffers on both sides take."""
LARGE = b"x" * 20_000


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving(
        max_write_buffer_bytes=100_000, max_packets_per_ping_interval=1_000_000_000
    ) as world:
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


async def publish_until_watched(world: World, session: EngineSession) -> int:
    """Publish until more waits than may for long; return how many events it took."""
    number = 0
    while session.strain is None:
        assert not session.closed
        world.publish(number, payload=LARGE)
        number += 1
    return number


@pytest_asyncio.fixture
async def roomy() -> AsyncIterator[World]:
    """With large events: what may wait for a moment is far above what may for long."""
    async with serving(
        max_write_buffer_bytes=100_000,
        max_event_bytes=1_000_000,
        max_packets_per_ping_interval=1_000_000_000,
        ping_interval_seconds=600,
    ) as world:
        yield world


async def test_a_burst_above_the_bound_harms_nobody_who_then_reads(roomy: World) -> None:
    async with roomy.member() as client:
        (session,) = roomy.engine.sockets.values()
        kernel_events = await publish_until_watched(roomy, session)
        plain_write = session.websocket._transport.write  # type: ignore[union-attr]
        assert session.write != plain_write
        burst = range(kernel_events, kernel_events + 300)  # 6 MB in one batch
        roomy.publish(*burst, payload=LARGE)
        assert session.waiting_bytes > 5_000_000
        for number in range(burst.stop):
            assert await client.packet() == heard(number, LARGE.decode())
        assert roomy.dropped == 0
        await eventually(lambda: session.strain is None, PATIENCE_SECONDS, "it is trusted again")
        assert session.write == plain_write
        assert len(roomy.engine.slow) == 0
        roomy.pass_seconds(GRACE_SECONDS + 1)
        roomy.publish(burst.stop)
        assert await client.packet() == heard(burst.stop)
    await roomy.empty()


async def test_who_takes_nothing_for_a_while_is_cut_off_below_the_bound_of_a_burst(
    roomy: World,
) -> None:
    async with roomy.member(), roomy.member() as other:
        stalled, reading = roomy.engine.sockets.values()
        events = 0
        while stalled.waiting_bytes < 1_000_000:
            roomy.publish(events, payload=LARGE)
            assert await other.packet() == heard(events, LARGE.decode())
            events += 1
        assert stalled.strain is not None
        assert reading.strain is None
        # What the kernel still took after it was noticed counts: that may give it a second grace.
        roomy.pass_seconds(GRACE_SECONDS - 2)
        assert not stalled.closed
        roomy.pass_seconds(GRACE_SECONDS + 4)
        assert (stalled.closed, reading.closed, roomy.dropped) == (True, False, 1)
        roomy.publish(0)
        assert await other.packet() == heard(0)
    await roomy.empty()


async def test_who_takes_some_of_it_in_time_has_more_time(roomy: World) -> None:
    async with roomy.member() as client:
        client.hold_little(100_000)  # a kernel that took all at once would end the watch
        (session,) = roomy.engine.sockets.values()
        number = await publish_until_watched(roomy, session)
        read = 0
        for _ in range(5):
            while session.waiting_bytes < 6_000_000:
                roomy.publish(number, payload=LARGE)
                number += 1
            roomy.pass_seconds(GRACE_SECONDS - 1)
            before = session.waiting_bytes
            while before - session.waiting_bytes < 100_000:
                assert await client.packet() == heard(read, LARGE.decode())
                read += 1
            assert session.strain is not None
        assert (session.closed, roomy.dropped) == (False, 0)
        roomy.pass_seconds(2 * GRACE_SECONDS)
        assert (session.closed, roomy.dropped) == (True, 1)


async def test_a_burst_waits_for_who_polls_and_comes_in_answers_of_a_megabyte(
    roomy: World,
) -> None:
    async with roomy.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = roomy.engine.sockets.values()
        large = b"x" * 400_000
        roomy.publish(*range(10), payload=large)
        assert session.strain is not None
        answers = [await polling.packets() for _ in range(5)]
        assert [len(packets) for packets in answers] == [2] * 5
        assert [one for packets in answers for one in packets] == [
            heard(number, large.decode()) for number in range(10)
        ]
        assert session.strain is None
        roomy.publish(1, payload=b"x" * 1_500_000)  # one packet is never cut
        assert await polling.packets() == [heard(1, "x" * 1_500_000)]
        assert roomy.dropped == 0


async def test_who_does_not_poll_for_a_while_is_cut_off_below_the_bound_of_a_burst(
    roomy: World,
) -> None:
    async with roomy.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = roomy.engine.sockets.values()
        for _ in range(3):
            roomy.publish(*range(100), payload=LARGE)
            roomy.pass_seconds(GRACE_SECONDS - 2)
            await polling.packets()
        assert session.strain is not None
        roomy.pass_seconds(2 * GRACE_SECONDS)
        assert (session.closed, roomy.dropped) == (True, 1)
    await roomy.empty()


async def test_what_waits_for_a_session_that_ends_comes_with_the_last_answer(
    roomy: World,
) -> None:
    async with roomy.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = roomy.engine.sockets.values()
        roomy.publish(*range(100), payload=LARGE)
        roomy.server.close_session(session, "drain")
        last = await polling.packets()
        assert last == [heard(number, LARGE.decode()) for number in range(100)]
        assert await polling.packets() == ["1"]
    await roomy.empty()


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
        assert (session.outbox, session.outbox_bytes) == (None, 0)
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
        client.hold_little(100_000)
        (session,) = world.engine.sockets.values()
        while session.waiting_bytes < 1_000_000:  # the kernel takes more, but not for long
            world.publish(0, payload=LARGE)
            await asyncio.sleep(0)
        if goodbye == "drain":
            world.server.close_session(session, "drain")
        elif goodbye == "half-close":
            client.half_close()
        else:
            await client.write(client_close(1000))
        await eventually(lambda: session.closed, PATIENCE_SECONDS, "the session is closed")
        await world.settled()
        assert world.left() == {"pending closes": 1}
        world.pass_seconds(6)
        await world.empty()


async def test_one_event_larger_than_the_bound_still_reaches_who_reads() -> None:
    """What the kernel takes at once does not wait."""
    async with serving(max_write_buffer_bytes=10_000) as world, world.member() as client:
        world.publish(1, payload=b"x" * 50_000)
        assert await client.packet() == heard(1, "x" * 50_000)
        assert world.dropped == 0
