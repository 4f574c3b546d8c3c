"""After whatever clients have done, nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.session import EngineSession
from constellation_ws.http.protocol import HttpProtocol
from tests.conformance.wire import request, upgrade_headers
from tests.unit.engine.world import PATH, TARGET, World, join, serving
from tests.websocket_frames import CLOSE, PING, TEXT, client_close, client_frame

ROUNDS = 25
POLLING = f"{PATH}/?EIO=4&transport=polling"
PLACEHOLDER = '{"_placeholder":true,"num":0}'

Visit = Callable[[World], Awaitable[None]]


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:

        def enter(sid: str, room: str) -> None:
            member = world.rooms.by_sid(sid)
            assert member is not None
            world.rooms.enter(member, room)

        world.on("enter", enter)
        yield world


async def leaves_by_close_frame(world: World) -> None:
    async with world.member() as client:
        await client.write(client_close(1001))
        await client.closed()


async def leaves_by_close_packet(world: World) -> None:
    async with world.member() as client:
        await client.send("1")
        await client.closed()


async def leaves_its_namespace_first(world: World) -> None:
    async with world.member() as client:
        await client.send("41/chats")
        await client.send("1")
        await client.closed()


async def leaves_its_namespace_only(world: World) -> None:
    async with world.member() as client:
        await client.send("41/chats")
        world.pass_seconds(46)
        await client.closed()


async def comes_back_on_the_same_connection(world: World) -> None:
    async with world.member() as client:
        for _ in range(3):
            await client.send("41/chats")
            await join(client)


async def vanishes_with_rooms(world: World) -> None:
    async with world.member() as client:
        for number in range(10):
            await client.send(f'42/chats,["enter","chat:{number}"]')
        await client.send('42/chats,1["enter","chat:last"]')
        await client.packet()
        client.reset()


async def vanishes_within_a_message(world: World) -> None:
    async with world.member() as client:
        await client.write(client_frame(TEXT, b"4" * 1000, last=False))
        client.reset()


async def vanishes_between_attachments(world: World) -> None:
    async with world.member() as client:
        await client.send(f'451-/chats,["x",{PLACEHOLDER}]')
        await client.send("3")
        client.half_close()
        await client.ended()


async def vanishes_before_it_connects(world: World) -> None:
    async with world.websocket() as client:
        client.reset()


async def vanishes_right_behind_its_handshake(world: World) -> None:
    async with world.wired() as wire:
        await wire.write(request(TARGET, upgrade_headers()) + client_frame(TEXT, b"40/chats"))
        wire.reset()


async def sends_garbage(world: World) -> None:
    async with world.member() as client:
        await client.write(b"\xff" * 100)
        await client.closed()


async def sends_no_packet(world: World) -> None:
    async with world.member() as client:
        await client.send("42/chats,{}")
        await client.closed()


async def is_refused(world: World) -> None:
    async with world.websocket() as client:
        await client.message()
        for _ in range(3):
            await client.send("40/nowhere")
            await client.packet()
        for number in range(3):
            await client.send(f"40/nowhere-{number}")
            await client.packet()


async def never_answers(world: World) -> None:
    async with world.member() as client:
        world.pass_seconds(50)
        await client.closed()


async def does_not_answer_the_goodbye(world: World) -> None:
    async with world.member() as client:
        for session in list(world.engine.sockets.values()):
            world.engine.close(session, "enough")
        while (await client.frame())[0] != CLOSE:
            pass
        world.pass_seconds(6)
        await client.ended()


async def polls_and_leaves(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        await polling.send("1")


async def polls_and_is_forgotten(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
    world.pass_seconds(50)


async def hangs_up_its_poll(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        async with world.wired() as wire:
            await wire.write(request(f"{POLLING}&sid={polling.sid}"))
            await polling.turns()
    world.pass_seconds(50)


async def polls_twice(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await asyncio.gather(polling.poll(), polling.poll())


async def posts_garbage(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.post("garbage")


async def posts_half(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        target = f"{POLLING}&sid={polling.sid}"
        async with world.wired() as wire:
            await wire.write(request(target, [("Content-Length", "9")], method="POST"), b"40/")
            await polling.turns()
        await polling.turns()
        await polling.send("1")


async def does_not_fetch_the_goodbye(world: World) -> None:
    async with world.http() as http:
        await http.open()
        for session in list(world.engine.sockets.values()):
            world.engine.close(session, "enough")
    world.pass_seconds(6)


async def upgrades_and_leaves(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
            await client.send("2probe")
            await client.send("5")
            await client.send("1")
            await client.closed()


async def probes_and_leaves(world: World) -> None:
    async with world.http() as http:
        polling = await http.open()
        async with world.websocket(f"{TARGET}&sid={polling.sid}") as client:
            await client.send("2probe")
            await client.message()
            await polling.send("1")
            client.reset()


async def pings_and_vanishes(world: World) -> None:
    async with world.member() as client:
        await client.write(client_frame(PING, b"x") * 1_000)
        client.reset()


VISITS: list[Visit] = [
    leaves_by_close_frame,
    leaves_by_close_packet,
    leaves_its_namespace_first,
    leaves_its_namespace_only,
    comes_back_on_the_same_connection,
    vanishes_with_rooms,
    vanishes_within_a_message,
    vanishes_between_attachments,
    vanishes_before_it_connects,
    vanishes_right_behind_its_handshake,
    sends_garbage,
    sends_no_packet,
    is_refused,
    never_answers,
    does_not_answer_the_goodbye,
    polls_and_leaves,
    polls_and_is_forgotten,
    hangs_up_its_poll,
    polls_twice,
    posts_garbage,
    posts_half,
    does_not_fetch_the_goodbye,
    upgrades_and_leaves,
    probes_and_leaves,
    pings_and_vanishes,
]


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.__name__)
async def test_nothing_is_left_of_a_client_that(world: World, visit: Visit) -> None:
    for _ in range(ROUNDS):
        await visit(world)
        world.pass_seconds(6)  # the patience with those who do not fetch their goodbye
    await world.empty()


async def test_nothing_is_left_of_all_of_them_at_once(world: World) -> None:
    visits = [visit(world) for visit in VISITS for _ in range(3)]
    await asyncio.gather(*visits, return_exceptions=True)  # they end each other's time
    world.pass_seconds(100)
    await world.empty()
    gc.collect()
    kinds = (EngineSession, WebSocketConnection)
    # By type: a proxy whose object is gone cannot be asked what it is.
    assert not [found for found in gc.get_objects() if issubclass(type(found), kinds)]


async def test_http_connections_are_not_kept_when_their_clients_have_gone(world: World) -> None:
    for _ in range(ROUNDS):
        await polls_and_leaves(world)
        await posts_half(world)
    await world.empty()
    gc.collect()
    alive = [found for found in gc.get_objects() if isinstance(found, HttpProtocol)]
    assert len(alive) == world.http_connections
