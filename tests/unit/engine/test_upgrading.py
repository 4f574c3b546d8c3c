"""From long-polling to a WebSocket while events go out: each arrives once and in order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from constellation_ws.engine.pending_closes import CLOSE_SECONDS
from constellation_ws.engine.server import UPGRADE_SECONDS
from tests.conformance.polling import Polling
from tests.conformance.wire import NO_STATUS, Wire
from tests.unit.engine.world import TARGET, World, flood, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import CLOSE, TEXT, client_frame


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest_asyncio.fixture
async def polling(world: World) -> AsyncIterator[Polling]:
    """A client of the namespace on long-polling."""
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        (answer,) = await polling.packets()
        assert answer.startswith("40/chats,")
        yield polling


async def events(client: Wire, count: int) -> list[str]:
    packets = [await client.packet() for _ in range(count)]
    assert all(isinstance(packet, str) for packet in packets)
    return [str(packet) for packet in packets]


async def test_events_before_during_and_after_the_upgrade_arrive_once_and_in_order(
    world: World, polling: Polling
) -> None:
    world.publish(1, 2)
    assert await polling.packets() == [heard(1), heard(2)]
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        world.publish(3)
        await client.send("2probe")
        assert await client.message() == "3probe"
        world.publish(4)
        packets = await polling.packets()  # the client's last poll
        world.publish(5, 6)
        await client.send("5")
        await client.send("42/chats,0{}")  # no packet, and so the end of what comes
        rest, _ = await client.messages_to_the_end()
    assert packets == [heard(3), "6", heard(4)]
    assert rest == [heard(5), heard(6)]


async def test_events_at_every_step_of_the_upgrade_arrive_once_and_in_order(
    world: World, polling: Polling
) -> None:
    """The client polls on until the poll that the probe ends, as the JavaScript client does."""
    packets: list[str] = []
    world.publish(0)
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        world.publish(1)
        packets += await polling.packets()
        world.publish(2)
        await client.send("2probe")
        world.publish(3)
        assert await client.message() == "3probe"
        world.publish(4)
        while "6" not in packets:
            packets += await polling.packets()
        world.publish(5)
        await client.send("5")
        world.publish(6)
        world.publish(7, 8)
        packets += await events(client, 9 - len(packets) + packets.count("6"))
        world.publish(9)
        packets += await events(client, 1)
    assert [packet for packet in packets if packet != "6"] == [heard(n) for n in range(10)]


async def test_what_waits_when_the_session_moves_comes_in_one_piece_and_first(
    world: World, polling: Polling
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        await client.send("2probe")
        assert await client.message() == "3probe"
        assert await polling.packets() == ["6"]
        for number in range(100):
            world.publish(number, payload="ю👋".encode())
        await client.send("5")
        assert await events(client, 100) == [heard(number, "ю👋") for number in range(100)]


async def test_binary_events_survive_the_move(world: World, polling: Polling) -> None:
    (session,) = world.engine.sockets.values()
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        session.send_message('51-/chats,["b",{"_placeholder":true,"num":0}]')
        session.send_message(b"\x00\xff\x06")
        session.send_message(b"")
        await client.send("5")
        assert await client.message() == '451-/chats,["b",{"_placeholder":true,"num":0}]'
        assert await client.message() == b"\x00\xff\x06"
        assert await client.message() == b""


async def test_what_the_client_sends_on_either_transport_is_handled_in_its_order(
    world: World, polling: Polling
) -> None:
    asked: list[int] = []
    world.on("ask", lambda sid, number: asked.append(number))
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        await polling.send("\x1e".join(f'42/chats,["ask",{number}]' for number in range(50)))
        await client.send("2probe")
        assert await client.message() == "3probe"
        await client.send("5")
        for number in range(50, 100):
            await client.send(f'42/chats,["ask",{number}]')
        await client.send('42/chats,1["ask",100]')
        assert await client.packet() == "43/chats,1[]"
    assert asked == list(range(101))


async def test_a_ping_that_was_due_while_the_session_moved_is_not_lost(
    world: World, polling: Polling
) -> None:
    world.pass_seconds(17)  # the first ping is due between 17.5 and 22.5
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        world.pass_seconds(6)
        await client.send("5")
        assert await client.message() == "2"
        await client.send("3")
        await client.send('42/chats,1["unknown"]')
        world.publish(1)
        assert await client.packet() == heard(1)
    await world.empty()


async def test_a_probe_that_leads_nowhere_is_given_up_and_polling_goes_on(
    world: World, polling: Polling
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        await client.send("2probe")
        assert await client.message() == "3probe"
        world.pass_seconds(UPGRADE_SECONDS + 1)
        opcode, payload = await client.frame()
        assert (opcode, payload[:2]) == (CLOSE, (1008).to_bytes(2))
        world.publish(1)
        assert await polling.packets() == ["6", heard(1)]
    world.publish(2)
    assert await polling.packets() == [heard(2)]
    assert world.left().keys() <= {"sockets", "wheel", "environ", "members", "idle"}


async def test_a_probe_that_says_nothing_does_not_keep_the_session_from_another(
    world: World, polling: Polling
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as silent:
        world.pass_seconds(UPGRADE_SECONDS + 1)
        await silent.closed()
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        await client.send("2probe")
        assert await client.message() == "3probe"
        await client.send("5")
        world.publish(1)
        assert await client.packet() == heard(1)


@pytest.mark.parametrize("said", [[], ["2probe"]])
@pytest.mark.parametrize("ending", ["reset", "half-close", "close frame"])
async def test_a_probe_that_vanishes_leaves_the_session_where_it_was(
    world: World, polling: Polling, said: list[str], ending: str
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        for packet in said:
            await client.send(packet)
            assert await client.message() == "3probe"
        if ending == "reset":
            client.reset()
        elif ending == "half-close":
            client.half_close()
            await client.ended()
        else:
            await client.write(client_frame(CLOSE))
            await client.closed()
    assert await polling.packets() == ["6"] if said else True
    world.publish(1)
    assert await polling.packets() == [heard(1)]
    await polling.send("1")
    await world.empty()


async def test_a_flood_of_pings_on_a_probe_harms_the_probe_alone(
    world: World, polling: Polling
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        with pytest.raises(ConnectionError):
            await flood(client)
    assert world.dropped == 0
    world.publish(1)
    assert await polling.packets() == [heard(1)]


async def test_a_session_that_ends_while_it_is_probed_takes_the_probe_along(
    world: World, polling: Polling
) -> None:
    async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
        await client.send("2probe")
        assert await client.message() == "3probe"
        await polling.send("1")
        world.pass_seconds(UPGRADE_SECONDS + 1)
        assert await client.closed() == 1008
    await world.empty()


async def test_a_session_on_a_websocket_cannot_be_taken_over(world: World) -> None:
    async with world.member() as client:
        (sid,) = world.sids
        async with world.websocket(f"{TARGET}&sid={sid}") as other:
            assert await other.messages_to_the_end() == ([], NO_STATUS)
        assert world.refused == ["bad_request"]
        await client.write(client_frame(TEXT, b"3"))
        world.publish(1)
        assert await client.packet() == heard(1)


async def test_who_is_closed_after_its_handshake_is_hung_up_on_if_it_stays(world: World) -> None:
    async with world.member():
        (sid,) = world.sids
        async with world.websocket(f"{TARGET}&sid={sid}") as other:
            await eventually(
                lambda: world.left().get("pending closes"), PATIENCE_SECONDS, "it is closed"
            )
            world.pass_seconds(CLOSE_SECONDS + 1)
            await other.ended()
        await eventually(
            lambda: not world.left().get("pending closes"), PATIENCE_SECONDS, "it is gone"
        )
        assert world.sids == [sid]
