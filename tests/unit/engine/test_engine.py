"""The engine: how sessions open, are pinged and end, on both transports."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.server import Engine
from constellation_ws.runtime.turn_queue import TurnQueue
from tests.unit.engine.handshakes import BOTH, code, handshake
from tests.unit.engine.world import (
    LIMITS,
    World,
    heard,
    join,
    serving,
)
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import client_close


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


# Opening


@pytest.mark.parametrize(
    ("sid", "expected"),
    [
        ("podBabcdefghijklmnopqrst", "unknown_session"),
        ("podAabcdefghijklmnopqrst", "unknown_session"),
        ("pod", "unknown_session"),
        ("'; DROP TABLE", "unknown_session"),
    ],
)
@BOTH
async def test_a_sid_of_no_session_is_answered_as_the_protocol_says(
    world: World, transport: str, sid: str, expected: str
) -> None:
    response = await handshake(world, transport, f"&sid={sid.replace(' ', '%20')}")
    assert (response.status, code(response)) == (400, expected)
    assert world.refused == [expected]


async def test_a_sid_begins_with_the_tag_of_its_pod_and_cannot_be_guessed(world: World) -> None:
    for _ in range(20):
        await handshake(world, "polling")
    assert all(sid.startswith("podA") for sid in world.sids)
    tails = [sid.removeprefix("podA") for sid in world.sids]
    assert len(set(tails)) == 20
    assert all(len(tail) >= 20 for tail in tails)


@pytest.mark.parametrize("tag", ["", "a", "abc", "abcd", "abcdefgh"])
def test_a_tag_of_any_length_does(tag: str) -> None:
    engine = Engine(LIMITS, pod_tag=tag, spawn=lambda work: work.close(), turns=TurnQueue())
    engine.on("connect", lambda sid, handshake: None)
    sid = engine.open("", "", []).sid
    engine.remove(engine.sockets[sid], "over")
    refusal = engine.find(sid)
    assert getattr(refusal, "code", None) == "unknown_session"


async def test_of_a_handshake_only_what_was_asked_for_is_remembered() -> None:
    engine = Engine(
        LIMITS,
        pod_tag="p",
        spawn=lambda work: work.close(),
        turns=TurnQueue(),
        kept_headers=lambda headers: [one for one in headers if one[0] == b"authorization"],
    )
    seen = []
    engine.on("connect", lambda sid, handshake: seen.append(handshake))
    engine.open("EIO=4&a=b", "10.0.0.1", [(b"cookie", b"x" * 1000), (b"authorization", b"Bearer")])
    assert seen[0].headers == ((b"authorization", b"Bearer"),)
    assert (seen[0].query, seen[0].address) == ("EIO=4&a=b", "10.0.0.1")


# Time


class Enough(Exception):
    """Ends what would go on for ever."""


class Lateness:
    """A clock on which every sleep ends late by the next of these seconds."""

    def __init__(self, late_seconds: list[float]) -> None:
        self.now = 100.0
        self.turns: list[float] = []
        self._late_seconds = iter(late_seconds)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds + next(self._late_seconds)

    def note_turn(self) -> None:
        """Remember when, and stop when nobody is late any more."""
        self.turns.append(self.now)
        if len(self.turns) == 10:
            raise Enough


async def turns(monkeypatch: pytest.MonkeyPatch, late_seconds: list[float]) -> list[float]:
    """Run an engine, and say when it turned its wheel, in steps since it began."""
    clock = Lateness(late_seconds)
    engine = Engine(LIMITS, pod_tag="p", spawn=lambda work: work.close(), turns=TurnQueue())
    monkeypatch.setattr("constellation_ws.engine.server.time", clock)
    monkeypatch.setattr("constellation_ws.engine.server.asyncio", clock)
    with pytest.raises(Enough):
        await engine.run(clock.note_turn)
    assert engine.pings.step_seconds == 1
    return [turn - 100.0 for turn in clock.turns]


async def test_the_wheel_makes_up_for_small_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await turns(monkeypatch, [0.25] * 10)
    assert found == [step + 0.25 for step in range(1, 11)]


async def test_the_wheel_does_not_make_up_for_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clients have answered meanwhile is still to be read: they are not to be closed."""
    found = await turns(monkeypatch, [0.0, 0.0, 60.0, *[0.0] * 7])
    assert found == [1, 2, 63, 63, 64, 65, 66, 67, 68, 69]


async def test_what_happens_while_others_are_closed_counts(world: World) -> None:
    """Who answers its ping, connects or leaves before its turn has come is left alone."""
    engine = world.engine
    late, answering, leaving = (engine.open("", "", []) for _ in range(3))
    for session in (late, answering, leaving):
        session.awaits_pong = True
        engine.pings._wheel.put(session, 0)
    steps = engine.advance(world.clock.monotonic())
    next(steps)
    (first,) = [session for session in (late, answering, leaving) if session.closed]
    second, third = [session for session in (late, answering, leaving) if session is not first]
    engine.receive_packet(second, "3")
    engine.remove(third, "transport close")
    for _ in steps:
        pass
    assert world.sids == [second.sid]

    world.clock.ahead_seconds += LIMITS.connect_timeout_seconds - 1
    one, other = (engine.open("", "", []) for _ in range(2))
    engine.mark_used(second)
    world.clock.ahead_seconds += LIMITS.connect_timeout_seconds + 1
    steps = engine.advance(world.clock.monotonic())
    while not one.closed:
        next(steps)
    engine.mark_used(other)
    for _ in steps:
        pass
    assert not other.closed


# Ends


@BOTH
async def test_who_never_connects_to_a_namespace_is_closed(world: World, transport: str) -> None:
    if transport == "websocket":
        async with world.websocket() as client:
            await client.message()
            world.pass_seconds(24)
            await client.send("3")
            await eventually(lambda: not unanswered(world), PATIENCE_SECONDS, "it has answered")
            world.pass_seconds(22)
            _, code = await client.messages_to_the_end()
        assert code == 1000
    else:
        async with world.http() as http:
            polling = await http.open()
            world.pass_seconds(24)
            assert await polling.packets() == ["2"]
            await polling.send("3")
            world.pass_seconds(22)
            packets = await polling.packets()
            assert "1" in (packets if "1" in packets else await polling.packets())
    await world.empty()


def unanswered(world: World) -> bool:
    return any(session.awaits_pong for session in world.engine.sockets.values())


async def test_a_drained_client_gets_what_was_sent_before_and_the_code_to_come_back(
    world: World,
) -> None:
    async with world.member() as client:
        (session,) = world.engine.sockets.values()
        world.publish(*range(20))
        world.server.close_session(session, "drain")
        world.publish(99)
        messages, code = await client.messages_to_the_end()
    assert messages == [heard(number) for number in range(20)]
    assert code == 1012


class Accepting(asyncio.Transport):
    """A connection that accepts everything and delivers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ended = False

    def write(self, data: object) -> None:
        """Accept it."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Accept everything."""

    def is_closing(self) -> bool:
        return self.is_ended

    def close(self) -> None:
        self.is_ended = True


@pytest.mark.parametrize(("code", "is_answer"), [(1012, True), (1000, False), (1001, False)])
async def test_only_an_answer_to_our_close_frame_proves_that_all_has_arrived(
    world: World, code: int, is_answer: bool
) -> None:
    """A client that gives up by itself may do so while ours is on its way, and has not read it."""
    answered = world.seen.answered
    connection = WebSocketConnection(world.engine, Accepting())
    session = world.engine.open("", "127.0.0.1", [])
    connection.carry(session)
    world.server.close_session(session, "drain")
    connection.parse(client_close(code))
    assert answered == ([session.sid] if is_answer else [])


async def test_a_session_may_be_ended_lost_and_dropped_in_any_order(world: World) -> None:
    """Only the first one counts."""
    engine = world.engine
    closers = (
        lambda session: engine.close(session, "end"),
        lambda session: engine.remove(session, "lose"),
        engine.abort_slow,
        engine.close_on_parse_error,
    )
    reasons: list[str] = []
    world.on("disconnect", lambda sid, reason: reasons.append(reason))
    for order in itertools.permutations(closers):
        async with world.member():
            (session,) = engine.sockets.values()
            for close in order:
                close(session)
            await world.settled()
    assert len(reasons) == 24
    world.pass_seconds(6)
    await world.empty()


async def test_joining_after_all_that_still_works(world: World) -> None:
    async with world.websocket() as client:
        await client.message()
        await join(client)
        world.publish(1)
        assert await client.packet() == heard(1)
