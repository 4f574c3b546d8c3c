"""One connection that is read all the time, on a real Valkey; and the pauses between attempts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from service.redis_link import FAULTS, Link, backoff_seconds, open_link
from tests.processes import HOST, Valkey, running_valkey, unused_port
from tests.waiting import eventually

SOON = 5.0

unhurried = settings(deadline=None)  # other processes may hold the processor


class Replies:
    """What has come, read as it comes."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def __call__(self, parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            self.all.append(reply)

    async def are(self, *expected: Any) -> None:
        await eventually(lambda: len(self.all) >= len(expected), SOON, "the replies are here")
        assert self.all == list(expected)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with running_valkey() as server:
        yield server


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as redis:
        yield redis
        await redis.flushdb()


@pytest.fixture
def complaints() -> Iterator[list[dict[str, Any]]]:
    """What asyncio would log: nothing, at the end of each test that asks for it."""
    complaints: list[dict[str, Any]] = []
    yield complaints
    gc.collect()
    assert complaints == []


async def test_commands_are_sent_at_once_and_answered_in_order(redis: Redis) -> None:
    replies = Replies()
    async with open_link(redis, replies) as link:
        link.send("SET", "key", b"\x00\xff")
        link.send("GET", "key")
        link.send("INCRBY", "number", 41)
        link.send("INCR", "number")
        await replies.are(b"OK", b"\x00\xff", 41, 42)


async def test_a_large_reply_is_whole(redis: Redis) -> None:
    replies = Replies()
    await redis.set("key", b"x" * 3_000_000)
    async with open_link(redis, replies) as link:
        link.send("GET", "key")
        await replies.are(b"x" * 3_000_000)


async def test_a_link_that_redis_ends_says_so_and_takes_no_more(redis: Redis) -> None:
    async with open_link(redis, Replies()) as link:
        link.send("QUIT")
        with pytest.raises(ConnectionError, match="Redis closed the connection"):
            async with asyncio.timeout(SOON):
                await link.lost()
        link.send("PING")


async def test_an_error_of_the_reader_ends_the_link_with_it(redis: Redis) -> None:
    def broken(parser: hiredis.Reader) -> None:
        raise RuntimeError("a broken promise")

    async with open_link(redis, broken) as link:
        link.send("PING")
        with pytest.raises(RuntimeError, match="a broken promise"):
            async with asyncio.timeout(SOON):
                await link.lost()


async def test_what_is_no_reply_is_a_fault(redis: Redis) -> None:
    async with open_link(redis, Replies()) as link:
        link.data_received(b"?what is this\r\n")
        with pytest.raises(FAULTS):
            async with asyncio.timeout(SOON):
                await link.lost()


async def test_who_waits_for_a_while_only_does_not_end_the_link(redis: Redis) -> None:
    replies = Replies()
    async with open_link(redis, replies) as link:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await link.lost()
        link.send("PING")
        await replies.are(b"PONG")


@pytest.mark.parametrize("end", ["left", "failed"])
async def test_a_link_leaves_no_connection_open(redis: Redis, end: str) -> None:
    replies = Replies()

    async def use() -> None:
        async with open_link(redis, replies) as link:
            link.send("CLIENT", "ID")
            await eventually(lambda: replies.all, SOON, "the reply is here")
            if end == "failed":
                raise LookupError(end)

    with pytest.raises(LookupError) if end == "failed" else contextlib.nullcontext():
        await use()

    async def is_gone() -> bool:
        clients = await redis.client_list()
        return str(replies.all[0]) not in {client["id"] for client in clients}

    await eventually(is_gone, SOON, "the connection is gone")
    pool: Any = redis.connection_pool
    assert pool._in_use_connections == set()


async def test_a_redis_that_is_away_is_a_fault() -> None:
    async with Redis.from_url(f"redis://{HOST}:{unused_port()}") as redis:
        with pytest.raises(FAULTS):
            async with open_link(redis, Replies()):
                raise AssertionError("there is nothing to open")


@pytest.mark.parametrize(
    "end",
    [
        lambda link: (link.connection_lost(None), link.forget()),
        lambda link: (link.connection_lost(OSError("reset")), link.forget()),
        lambda link: (link.forget(), link.connection_lost(OSError("reset"))),
        lambda link: link.forget(),
        lambda link: (link.forget(), link.forget()),
    ],
    ids=["lost", "reset", "forgotten", "forgotten only", "forgotten twice"],
)
async def test_a_link_that_nobody_waits_for_leaves_no_complaint(
    end: Callable[[Link], object], complaints: list[dict[str, Any]]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    end(Link(asyncio.WriteTransport(), Replies()))
    gc.collect()


@unhurried
@given(st.integers(1, 10**6), st.floats(0, 1))
def test_no_pause_between_attempts_is_longer_than_a_second(attempt: int, chance: float) -> None:
    assert 0 <= backoff_seconds(attempt, chance) <= backoff_seconds(attempt, 1) <= 1


def test_pauses_grow_from_a_tenth_of_a_second_to_a_second() -> None:
    pauses = [backoff_seconds(attempt, 1.0) for attempt in range(1, 8)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1])
