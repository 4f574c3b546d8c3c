"""What a client sends is handled one after the other, and never faster than it is handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from constellation_ws.engine.inbox import MAX_INBOX
from constellation_ws.engine.session import EngineSession
from constellation_ws.http.bounded_reading import PIECE_BYTES
from tests.loop_turns import Others
from tests.unit.engine.world import World, heard, serving
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import TEXT, client_frame

MANY = 10_000


class Desk:
    """A handler that waits until it is told to go on."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    async def ask(self, sid: str, number: int) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.append(number)
        await self.open.wait()
        self.at_once -= 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest_asyncio.fixture
async def world(desk: Desk) -> AsyncIterator[World]:
    async with serving() as world:
        world.on("ask", desk.ask)
        yield world
        desk.open.set()


def asking(*numbers: int) -> bytes:
    frames = [client_frame(TEXT, b'42/chats,["ask",%d]' % number) for number in numbers]
    return b"".join(frames)


def waiting(session: EngineSession) -> int:
    return len(session.inbox or ())


async def test_messages_are_handled_in_order_and_one_at_a_time(world: World, desk: Desk) -> None:
    async with world.member() as client:
        await client.write(asking(*range(10)))
        await eventually(lambda: desk.asked, PATIENCE_SECONDS, "the first is handled")
        assert desk.asked == [0]
        desk.open.set()
        await eventually(lambda: len(desk.asked) == 10, PATIENCE_SECONDS, "all are handled")
    assert desk.asked == list(range(10))
    assert desk.most_at_once == 1


async def test_one_client_that_waits_keeps_no_other_waiting(world: World, desk: Desk) -> None:
    async with world.member() as first, world.member() as second:
        await first.write(asking(1))
        await second.write(asking(2))
        await eventually(lambda: len(desk.asked) == 2, PATIENCE_SECONDS, "both are handled")
        world.publish(3)
        assert await first.packet() == await second.packet() == heard(3)


async def test_a_client_that_is_too_fast_is_not_read_until_it_may_go_on(
    world: World, desk: Desk
) -> None:
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        numbers = iter(range(MANY))
        while waiting(session) < MAX_INBOX:
            await client.write(asking(next(numbers)))
            await asyncio.sleep(0)
        sent = next(numbers)
        await client.write(asking(*range(sent, MANY)))  # the kernel takes it, the engine does not
        await client.send("42/chats,1{}")
        read = waiting(session)
        desk.open.set()
        _, code = await client.messages_to_the_end()
    assert code == 1000, "the last message was read too, and refused"
    assert read < MANY // 2
    assert desk.asked == list(range(MANY))


async def test_what_was_read_before_the_client_had_to_wait_waits_unparsed(
    world: World, desk: Desk
) -> None:
    """One read may hold ten thousand messages; the inbox has a bound all the same."""
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        await client.write(asking(*range(5_000)))
        await eventually(lambda: waiting(session) >= MAX_INBOX, PATIENCE_SECONDS, "it has to wait")
        smallest_bytes = len(asking(1))
        assert waiting(session) < MAX_INBOX + PIECE_BYTES // smallest_bytes
        desk.open.set()
        await client.send('42/chats,1["ask",5000]')
        assert await client.packet() == "43/chats,1[]"
    assert desk.asked == list(range(5_001))


async def test_ten_thousand_tiny_messages_in_one_segment_let_others_in_between() -> None:
    async with serving() as world, world.member() as busy, world.member() as other:
        world.on("ask", lambda sid, number: number)
        world.on("hello", lambda sid: "hello")
        acknowledged = asyncio.create_task(busy.packet())
        frames = [client_frame(TEXT, b'42/chats,["ask",%d]' % n) for n in range(MANY)]
        last = client_frame(TEXT, b'42/chats,7["ask",7]')
        await busy.write(b"".join(frames) + last)
        await other.send('42/chats,1["hello"]')
        assert await other.packet() == '43/chats,1["hello"]'
        assert not acknowledged.done(), "the other one did not have to wait for all of them"
        assert await acknowledged == "43/chats,7[7]"


async def test_a_post_of_many_messages_is_answered_when_they_are_nearly_handled(
    world: World, desk: Desk
) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = world.engine.sockets.values()
        body = "\x1e".join(f'42/chats,["ask",{number}]' for number in range(1_000))
        post = asyncio.create_task(polling.post(body))
        await eventually(lambda: waiting(session) > 900, PATIENCE_SECONDS, "the messages are here")
        assert not post.done()
        desk.open.set()
        assert (await post).text == "ok"
        assert waiting(session) <= MAX_INBOX
    await eventually(lambda: len(desk.asked) == 1_000, PATIENCE_SECONDS, "all are handled")


async def test_a_post_of_a_session_that_is_closed_meanwhile_is_answered(
    world: World, desk: Desk
) -> None:
    async with world.http() as http:
        polling = await http.open()
        await polling.send("40/chats")
        await polling.packets()
        (session,) = world.engine.sockets.values()
        body = "\x1e".join(f'42/chats,["ask",{number}]' for number in range(200))
        post = asyncio.create_task(polling.post(body))
        await eventually(lambda: waiting(session) > 100, PATIENCE_SECONDS, "the messages are here")
        world.engine.close(session, "enough")
        assert (await post).status == 200
        assert await polling.packets() == ["1"]
        desk.open.set()
    await world.empty()
    assert len(desk.asked) == 1


async def test_the_farewell_comes_after_all_that_the_client_has_sent(desk: Desk) -> None:
    """Its last word may have been that it leaves for good."""
    told: list[str] = []
    async with serving() as world:
        world.on("ask", desk.ask)
        world.on("disconnect", lambda sid, reason: told.append(reason))
        async with world.member() as client:
            await client.write(asking(1, 2) + client_frame(TEXT, b"41/chats,"))
            await eventually(lambda: desk.asked, PATIENCE_SECONDS, "the first is handled")
            await client.send("1")
            await client.closed()
        assert told == []
        desk.open.set()
        await world.empty()
    assert desk.asked == [1, 2]
    assert told == ["client disconnect"]


async def test_who_is_closed_by_us_is_not_heard_any_more(world: World, desk: Desk) -> None:
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        await client.write(asking(*range(100)))
        await eventually(
            lambda: waiting(session) >= MAX_INBOX, PATIENCE_SECONDS, "it is no longer read"
        )
        world.engine.close(session, "enough")
        desk.open.set()
        assert await client.closed() == 1000
    await world.empty()
    assert desk.asked == [0]


async def test_the_goodbye_of_a_client_that_was_too_fast_is_heard(world: World, desk: Desk) -> None:
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        while waiting(session) < MAX_INBOX:
            await client.write(asking(1))
            await asyncio.sleep(0)
        world.engine.close(session, "enough")
        assert await client.closed() == 1000
        desk.open.set()
        await world.empty()


async def test_a_handler_that_fails_costs_its_client_the_connection_and_nobody_else() -> None:
    async def fail(sid: str, kind: str) -> None:
        raise {"value": ValueError, "key": KeyError, "own": RuntimeError}[kind](kind)

    async with serving() as world, world.member() as other:
        world.on("fail", fail)
        for kind in ("value", "key", "own"):
            with capture_logs() as logs:
                async with world.member() as client:
                    await client.send(f'42/chats,["fail","{kind}"]')
                    assert await client.messages_to_the_end() == ([], 1000)
            assert [record["event"] for record in logs] == [
                "a client's message could not be handled"
            ], kind
        world.publish(1)
        assert await other.packet() == heard(1)
    assert not world.left()


async def test_thousands_of_ends_at_once_are_handled_in_turns_with_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer that dies takes all its clients with it."""
    monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0.0)  # a step is a turn
    engine, others, ends = world.engine, Others(), list[int]()

    async def end(sid: str, reason: str) -> None:
        ends.append(others.turns)

    monkeypatch.setitem(engine.handlers, "disconnect", end)
    for _ in range(1_000):
        engine.open("", "", [])
    with others.having_turns():
        for session in list(engine.sockets.values()):
            engine.remove(session, "transport close")
        assert len(engine.closed_sessions) == 1_000
        await world.settled()
    assert len(ends) == 1_000
    assert len(set(ends)) > 900
    assert world.tasks.spawned_count == 1


async def test_an_end_that_cannot_be_handled_costs_itself_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, ends = world.engine, list[str]()

    async def end(sid: str, reason: str) -> None:
        ends.append(sid)
        if len(ends) == 1:
            raise RuntimeError("the handler's own fault")

    monkeypatch.setitem(engine.handlers, "disconnect", end)
    sessions = [engine.open("", "", []) for _ in range(3)]
    with capture_logs() as lines:
        for session in sessions:
            engine.remove(session, "transport close")
        await world.settled()
        engine.remove(engine.open("", "", []), "transport close")
        await world.settled()
    assert len(ends) == 4
    assert len(lines) == 1


async def test_what_fails_at_once_costs_its_client_the_connection_and_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sid: str, message: str) -> None:
        raise RuntimeError("the handler's own fault")

    async with world.member() as client, world.member() as other:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setitem(world.engine.handlers, "message", fail)
            await client.send('42/chats,["ask",1]')
            assert await client.messages_to_the_end() == ([], 1000)
        assert [record["event"] for record in logs] == ["a client's message could not be handled"]
        world.publish(1)
        assert await other.packet() == heard(1)
