"""Requests that are forwarded: how they are cut from their packets, and how they are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from msgspec import Raw

from constellation_ws.delivery.rooms import Member
from tests.unit.engine.world import NAMESPACE, World, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import BINARY, TEXT, client_frame

Reply = Callable[[Raw | bytes], None]


class Backend:
    """What requests are forwarded to."""

    def __init__(self, world: World) -> None:
        self.asked: list[bytes | None] = []
        self.waiting: list[Reply] = []
        self.members: list[Member] = []
        self.is_busy = False
        for event in ("report", "отчёт"):
            world.server.requests.forward(NAMESPACE, event, self.begin)

    def begin(self, member: Member, argument: Raw | None, address: str, reply: Reply) -> None:
        assert address == "127.0.0.1"
        self.asked.append(None if argument is None else bytes(argument))
        self.members.append(member)
        member.begin_request()
        self.waiting.append(reply)
        if not self.is_busy:
            self.go_on()

    def go_on(self) -> None:
        while self.waiting:
            self.members.pop(0).end_request()
            self.waiting.pop(0)(b'{"n":1.0}')


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest.fixture
def backend(world: World) -> Backend:
    return Backend(world)


@pytest.mark.parametrize(
    ("packet", "argument"),
    [
        ('["report",{"lat":1.50}]', b'{"lat":1.50}'),
        ('[ "report" , {"a" : 1} , 2]', b'{"a" : 1}'),
        ('["report"]', b"null"),
        ('["отчёт","я"]', '"я"'.encode()),
        (r'["r\u0065port",1]', b"1"),
        (r'["report","\ud83d"]', rb'"\ud83d"'),
        ('["report",1e400]', b"1e400"),
    ],
)
async def test_a_backend_gets_the_first_argument_as_it_was_written(
    world: World, backend: Backend, packet: str, argument: bytes
) -> None:
    async with world.member() as client:
        await client.send(f"42/chats,7{packet}")
        assert await client.message() == '43/chats,7[{"n":1.0}]'
    assert backend.asked == [argument]


async def test_a_request_with_binary_values_has_no_argument(world: World, backend: Backend) -> None:
    async with world.member() as client:
        await client.send('451-/chats,7["report",{"_placeholder":true,"num":0}]')
        await client.write(client_frame(BINARY, b"x"))
        assert await client.message() == '43/chats,7[{"n":1.0}]'
    assert backend.asked == [None]


async def test_a_request_that_comes_alone_needs_no_task(world: World, backend: Backend) -> None:
    async with world.member() as client:
        await world.settled()
        before = world.tasks.spawned_count
        await client.send('42/chats,7["report",1]')
        assert await client.message() == '43/chats,7[{"n":1.0}]'
        assert world.tasks.spawned_count == before


async def test_requests_are_begun_in_their_order_however_they_come(
    world: World, backend: Backend
) -> None:
    packets = [f'42/chats,["report",{number}]' for number in range(100)]
    async with world.member() as client:
        await client.send(packets[0])
        await client.write(b"".join(client_frame(TEXT, one.encode()) for one in packets[1:50]))
        for one in packets[50:]:
            await client.send(one)
        await eventually(lambda: len(backend.asked) == 100, PATIENCE_SECONDS, "all are asked")
    assert backend.asked == [b"%d" % number for number in range(100)]


async def test_the_next_request_does_not_wait_for_the_answer(
    world: World, backend: Backend
) -> None:
    world.on("ask", lambda sid: "asked")
    backend.is_busy = True
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        await client.send('42/chats,7["report",1]')
        await client.send('42/chats,8["ask"]')
        assert await client.message() == '43/chats,8["asked"]'
        assert world.server.requests.has_unanswered(session.sid)
        backend.go_on()
        assert await client.message() == '43/chats,7[{"n":1.0}]'
        assert not world.server.requests.has_unanswered(session.sid)


async def test_on_long_polling_the_ack_is_a_packet_of_the_next_poll(
    world: World, backend: Backend
) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        await polling.send('42/chats,7["report",1]')
        assert await polling.packets() == ['43/chats,7[{"n":1.0}]']


async def test_nobody_is_answered_who_has_left_or_did_not_ask_for_that(
    world: World, backend: Backend
) -> None:
    world.on("ask", lambda sid: "asked")
    backend.is_busy = True
    async with world.member() as leaving, world.member() as client:
        await leaving.send('42/chats,7["report",1]')
        await client.send('42/chats,["report",1]')
        await eventually(lambda: len(backend.asked) == 2, PATIENCE_SECONDS, "both are asked")
        await leaving.send("41/chats")
        await eventually(lambda: len(world.rooms) == 1, PATIENCE_SECONDS, "one has left")
        backend.go_on()
        await leaving.send("40/chats")
        await client.send('42/chats,8["ask"]')
        assert await client.message() == '43/chats,8["asked"]'
        assert str(await leaving.message()).startswith("40/chats")
