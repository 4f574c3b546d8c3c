"""Commands of many senders, on a real Valkey that stops, hangs and objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.redis_io.command_queue import CommandQueue, Words
from constellation_ws.redis_io.link import FAULTS, Link, make_client
from tests.processes import Valkey, running_valkey
from tests.spawning import spawn
from tests.waiting import PATIENCE_SECONDS, eventually


class Sender:
    """Who sends commands, and gathers their replies."""

    def __init__(self, redis: Redis, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        self.queue = CommandQueue(redis, spawn, timeout_seconds)
        self.replies: list[Any] = []

    def send(self, *words: str | bytes | int, size: int = 10) -> None:
        self.queue.send(words, size, self.replies.append)

    async def answered(self, count: int) -> list[Any]:
        await eventually(lambda: len(self.replies) >= count, PATIENCE_SECONDS, "all are answered")
        return self.replies

    async def ask(self, *words: str | bytes | int) -> Any:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.queue.send(words, 10, reply.set_result)
        return await reply


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture
async def own_redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    async with make_client(own_valkey.url, retries=0) as redis:
        yield redis


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each write had."""
    sizes: list[int] = []
    original = Link.send_together

    def counted(link: Link, *commands: Words) -> None:
        sizes.append(len(commands))
        original(link, *commands)

    monkeypatch.setattr(Link, "send_together", counted)
    return sizes


async def test_replies_come_to_their_senders_in_the_order_of_the_commands(redis: Redis) -> None:
    sender = Sender(redis)
    for number in range(1_000):
        sender.send("ECHO", number)
    assert await sender.answered(1_000) == [b"%d" % number for number in range(1_000)]


async def test_what_one_turn_brings_leaves_in_one_write(redis: Redis, writes: list[int]) -> None:
    sender = Sender(redis)
    await sender.ask("PING")
    writes.clear()
    for _ in range(100):
        sender.send("PING")
    await sender.answered(100)
    assert writes == [100]


@pytest.mark.parametrize(
    ("size", "expected"), [(10, [1, 256, 43]), (500_000, [1] + [2] * 149 + [1])]
)
async def test_a_batch_is_bounded_in_commands_and_in_bytes(
    redis: Redis, writes: list[int], size: int, expected: list[int]
) -> None:
    sender = Sender(redis)
    sender.send("PING")
    await sender.answered(1)
    for _ in range(299):
        sender.send("PING", size=size)
    await sender.answered(300)
    assert writes == expected


async def test_an_error_is_the_reply_to_its_command_alone(redis: Redis) -> None:
    await redis.set("a-text", "x")
    sender = Sender(redis)
    sender.send("INCR", "a-text")
    sender.send("ECHO", "y")
    error, reply = await sender.answered(2)
    assert isinstance(error, ResponseError)
    assert reply == b"y"


async def test_a_lost_connection_fails_what_was_sent_and_is_replaced(own_redis: Redis) -> None:
    sender = Sender(own_redis)
    identifier = await sender.ask("CLIENT", "ID")
    sender.send("BLPOP", "nothing", 0)
    await own_redis.client_kill_filter(_id=identifier)
    (error,) = await sender.answered(1)
    assert isinstance(error, ConnectionError)
    assert await sender.ask("CLIENT", "ID") != identifier


async def test_without_a_connection_all_that_waits_fails_together(
    own_valkey: Valkey, own_redis: Redis
) -> None:
    own_valkey.stop()
    sender = Sender(own_redis)
    for _ in range(100):
        sender.send("PING")
    errors = await sender.answered(100)
    assert len({id(error) for error in errors}) == 1
    own_valkey.start()
    assert await sender.ask("ECHO", "x") == b"x"


async def test_of_a_redis_that_hangs_nothing_is_sent_that_has_expired(
    own_valkey: Valkey, own_redis: Redis
) -> None:
    sender = Sender(own_redis, 0.2)
    await sender.ask("PING")
    with own_valkey.hanging():
        sender.send("RPUSH", "list", "first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(50):
            sender.send("RPUSH", "list", "behind")
        errors = await sender.answered(51)
        assert {type(error) for error in errors} == {TimeoutError}

    async def is_answered() -> bool:
        return await sender.ask("PING") == b"PONG"

    await eventually(is_answered, PATIENCE_SECONDS, "it is used again")
    assert await sender.ask("LRANGE", "list", 0, -1) in ([], [b"first"])


async def test_a_redis_that_did_not_answer_gets_one_command_at_a_time_until_it_does(
    own_valkey: Valkey, own_redis: Redis, writes: list[int]
) -> None:
    sender = Sender(own_redis)
    own_valkey.stop()
    assert isinstance(await sender.ask("PING"), FAULTS)
    own_valkey.start()
    for _ in range(10):
        sender.send("PING")
    await sender.answered(10)
    assert writes == [1, 9]


async def test_the_timer_goes_on_with_the_oldest_command_that_is_left(redis: Redis) -> None:
    sender = Sender(redis, 0.3)
    sender.send("BLPOP", "nothing", "0.1")
    await sender.answered(1)
    sender.send("BLPOP", "nothing", 0)
    (_, error) = await sender.answered(2)
    assert isinstance(error, TimeoutError)
    assert await sender.ask("ECHO", "x") == b"x"
