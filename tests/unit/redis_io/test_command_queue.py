"""Commands of many senders, on a real Valkey that stops, hangs and objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.redis_io import command_queue
from constellation_ws.redis_io.command_queue import CommandQueue, Words
from constellation_ws.redis_io.link import FAULTS, Link, make_client
from tests.processes import Valkey, running_valkey
from tests.spawning import spawn
from tests.unit.redis_io.test_client import ABSENT, ONE, TWO, client_of, moving
from tests.valkeys import RedisCluster
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
async def followed(cluster: RedisCluster) -> AsyncIterator[Redis]:
    async with client_of(cluster) as client:
        yield client


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


def append(sender: Sender, stream: str, value: str) -> None:
    words = ("XADD", stream, "*", "data", value)
    sender.queue.send(words, 10, sender.replies.append, key=stream)


async def values(redis: Redis, stream: str) -> list[bytes]:
    entries: Any = await redis.xrange(stream)
    return [fields[b"data"] for _, fields in entries]


async def test_commands_follow_their_keys_while_these_move(
    cluster: RedisCluster, followed: Redis
) -> None:
    """Nothing is refused, lost, sent twice or out of its order, and no key is on two nodes."""
    sender = Sender(followed)
    for stream in (ONE, TWO):
        append(sender, stream, "before")
    await sender.answered(2)
    async with moving(cluster) as move:
        for number in range(10):
            for stream in (ONE, TWO, ABSENT):
                append(sender, stream, f"meanwhile {number}")
        await sender.answered(32)
        await move.move(ONE)
        for stream in (ONE, TWO, ABSENT):
            append(sender, stream, "after")
        await sender.answered(35)
    for stream in (ONE, TWO, ABSENT):
        append(sender, stream, "at last")
    assert all(isinstance(reply, bytes) for reply in await sender.answered(38))
    expected = [f"meanwhile {number}".encode() for number in range(10)] + [b"after", b"at last"]
    assert await values(followed, ABSENT) == expected
    assert await values(followed, ONE) == await values(followed, TWO) == [b"before", *expected]


class Pipe:
    """A transport whose other end is a test."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False


class Nodes:
    """Links to nodes that answer as a test says, in place of those to Redis."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.pipes: list[Pipe] = []

    @asynccontextmanager
    async def open(self, redis: Redis, on_replies: Any, *keys: str) -> AsyncIterator[Link]:
        pipe: Any = Pipe()
        link = Link(pipe, on_replies, ("node", len(self.links)))
        self.links.append(link)
        self.pipes.append(pipe)
        yield link
        link.forget()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    nodes = Nodes()
    monkeypatch.setattr(command_queue, "open_link", nodes.open)
    return nodes


async def test_a_former_primary_may_answer_what_it_was_sent(nodes: Nodes, redis: Redis) -> None:
    sender = Sender(redis)
    sender.send("ECHO", "a")
    await eventually(lambda: nodes.links, PATIENCE_SECONDS, "it is connected")
    nodes.links[0].moved(("node", 1))
    sender.send("ECHO", "b")
    await asyncio.sleep(0.01)
    assert len(nodes.pipes[0].written) == 1, "the next command is for another one"
    nodes.links[0].data_received(b"$1\r\na\r\n")
    await eventually(lambda: len(nodes.links) == 2, PATIENCE_SECONDS, "another one is used")
    await eventually(lambda: nodes.pipes[1].written, PATIENCE_SECONDS, "it is sent there")
    nodes.links[1].data_received(b"$1\r\nb\r\n")
    assert await sender.answered(2) == [b"a", b"b"]


async def test_a_former_primary_that_does_not_answer_is_left_all_the_same(
    nodes: Nodes, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_queue, "_LAST_REPLIES_SECONDS", 0.01)
    sender = Sender(redis)
    sender.send("ECHO", "a")
    await eventually(lambda: nodes.links, PATIENCE_SECONDS, "it is connected")
    nodes.links[0].moved(("node", 1))
    sender.send("ECHO", "b")
    await eventually(lambda: len(nodes.links) == 2, PATIENCE_SECONDS, "another one is used")
    await eventually(lambda: nodes.pipes[1].written, PATIENCE_SECONDS, "it is sent there")
    nodes.links[1].data_received(b"$1\r\nb\r\n")
    (error, reply) = await sender.answered(2)
    assert isinstance(error, ConnectionError)
    assert reply == b"b"
