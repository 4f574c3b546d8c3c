"""A connection whose replies are read as they come, on a real Valkey; and how long one waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from constellation_ws.redis_io.link import (
    Link,
    RedisMoved,
    _AskedReader,
    backoff_seconds,
    make_client,
    open_link,
    transport_of,
)
from constellation_ws.runtime import turns
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    async with make_client(valkey.url, retries=0) as redis:
        yield redis


async def test_replies_come_in_the_order_of_the_commands(redis: Redis) -> None:
    replies: list[object] = []

    def take(parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            replies.append(reply)

    async with open_link(redis, take) as link:
        for n in range(100):
            link.send("ECHO", n)
        await eventually(lambda: len(replies) == 100, PATIENCE_SECONDS, "all replies")
    assert replies == [b"%d" % n for n in range(100)]


async def test_the_end_of_a_connection_is_raised_where_it_is_waited_for(redis: Redis) -> None:
    async with open_link(redis, lambda parser: None) as link:
        link.send("QUIT")
        with pytest.raises(ConnectionError):
            await link.disconnected()


async def test_a_link_that_is_superseded_and_then_ends_says_that_it_has_ended(
    redis: Redis,
) -> None:
    async with open_link(redis, lambda parser: None) as link:
        link.supersede("another Redis is to be used")
        with pytest.raises(RedisMoved):
            await link.disconnected()
        assert link.is_superseded
        link.fail(ConnectionError("Redis closed the connection"))
        assert not link.is_superseded
        with pytest.raises(ConnectionError, match="closed") as ended:
            await link.disconnected()
        assert type(ended.value) is ConnectionError, "or who waits for the end begins again at once"


async def test_an_error_of_who_takes_replies_is_raised_there_too(redis: Redis) -> None:
    def refuse(parser: hiredis.Reader) -> None:
        raise ValueError("not what was asked for")

    async with open_link(redis, refuse) as link:
        link.send("PING")
        with pytest.raises(ValueError, match="not what was asked for"):
            await link.disconnected()


class Pipe:
    """A transport that is told whether to read."""

    def __init__(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


async def test_a_large_read_is_taken_in_turns_with_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """120,000 small messages at once: others have their turn in between, and the order stays."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)  # a piece is a turn
    loop, pipe, taken, most_at_once = asyncio.get_running_loop(), Pipe(), list[bytes](), 0
    since_last_turn = 0

    def take(parser: hiredis.Reader) -> None:
        nonlocal since_last_turn, most_at_once
        while (reply := parser.gets()) is not False:
            taken.append(reply)
            since_last_turn += 1
        most_at_once = max(most_at_once, since_last_turn)

    def have_a_turn() -> None:
        nonlocal since_last_turn
        since_last_turn = 0
        if len(taken) < 120_000:
            loop.call_soon(have_a_turn)

    link = Link(cast("asyncio.Transport", pipe), take)
    loop.call_soon(have_a_turn)
    messages = [b"%d" % n for n in range(120_000)]
    link.data_received(b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in messages))
    assert not pipe.is_reading, "what comes meanwhile waits in the kernel"
    await eventually(lambda: len(taken) == 120_000, PATIENCE_SECONDS, "all of it is taken")
    assert taken == messages
    assert most_at_once < 10_000
    await eventually(lambda: pipe.is_reading, PATIENCE_SECONDS, "more is read")


async def test_an_error_ends_a_large_read() -> None:
    calls = 0

    def refuse(parser: hiredis.Reader) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("not what was asked for")

    link = Link(cast("asyncio.Transport", Pipe()), refuse)
    link.data_received(b"+OK\r\n" * 100_000)
    with pytest.raises(ValueError, match="not what was asked for"):
        await link.disconnected()
    assert calls == 1


async def test_commands_go_on_after_a_link_has_used_a_connection(redis: Redis) -> None:
    async with open_link(redis, lambda parser: None):
        assert await redis.ping()
    assert await redis.ping()


async def test_a_connection_without_a_transport_is_said_to_be_closed(redis: Redis) -> None:
    connection = redis.connection_pool.make_connection()
    with pytest.raises(ConnectionError):
        transport_of(connection)


async def test_a_client_that_may_try_again_outlives_the_end_of_its_connections(
    valkey: Valkey,
) -> None:
    async with make_client(valkey.url, retries=5) as patient:
        await patient.ping()
        async with make_client(valkey.url, retries=0) as other:
            await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await patient.ping()


@given(st.lists(st.integers(0, 99), max_size=8), st.data())
def test_replies_to_asking_are_left_out_wherever_a_read_ends(
    numbers: list[int], data: st.DataObject
) -> None:
    reader, replies = _AskedReader(), list[object]()
    stream = b"".join(b"+OK\r\n:%d\r\n" % number for number in numbers)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.feed(stream[:size])
        stream = stream[size:]
        while (reply := reader.gets()) is not False:
            replies.append(reply)
    assert replies == numbers


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_wait_grows_to_a_second_and_no_further(attempt: int, chance: float) -> None:
    assert 0 <= backoff_seconds(attempt, chance) <= 1
    assert backoff_seconds(attempt, 1) <= backoff_seconds(attempt + 1, 1)
