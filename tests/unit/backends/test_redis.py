"""Requests on a real Redis: on a channel, or in a stream that does not grow without bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from constellation_ws.backends import redis as backend_redis
from constellation_ws.backends.answers import BackendFailed, NoAnswer
from constellation_ws.backends.redis import RedisWay, append, publish
from constellation_ws.backends.ways import Target
from constellation_ws.redis_io.link import make_client
from tests.processes import Valkey, running_valkey
from tests.spawning import spawn
from tests.unit.backends.asking import send
from tests.waiting import PATIENCE_SECONDS, eventually

BODY = '{"event":"place-order","data":"Привет"}'.encode()
STREAM = Target("orders")


def appending(redis: Redis, timeout: float = PATIENCE_SECONDS) -> RedisWay:
    return RedisWay(redis, spawn, timeout, append)


def accepted(result: object) -> bool:
    """Whether it is the ack of a request that Redis has."""
    return isinstance(result, Raw) and bytes(result) == b'{"success":true}'


async def entries(redis: Redis) -> list[bytes]:
    """What is in the stream, oldest first."""
    found: Any = await redis.xrange("orders")
    assert all(fields.keys() == {b"data"} for _, fields in found)
    return [fields[b"data"] for _, fields in found]


async def test_a_request_is_published_and_accepted_when_nobody_subscribes(redis: Redis) -> None:
    way = RedisWay(redis, spawn, PATIENCE_SECONDS, publish)
    assert accepted(await send(way, Target("orders"), BODY))
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("orders")
        await pubsub.get_message(timeout=PATIENCE_SECONDS)
        await send(way, Target("orders"), BODY)
        message = await pubsub.get_message(timeout=PATIENCE_SECONDS)
    assert message is not None
    assert (message["channel"], message["data"]) == (b"orders", BODY)


async def test_a_request_is_appended_as_one_field(redis: Redis) -> None:
    assert accepted(await send(appending(redis), STREAM, BODY))
    assert await entries(redis) == [BODY]


async def test_requests_are_in_the_stream_in_their_order(redis: Redis) -> None:
    way = appending(redis)
    sent = [b"%d" % number for number in range(1_000)]
    await asyncio.gather(*(send(way, STREAM, one) for one in sent))
    assert await entries(redis) == sent


async def test_a_stream_keeps_the_last_requests_only(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_redis, "STREAM_ENTRIES", 1_000)
    way = appending(redis)
    for start in range(0, 5_000, 500):
        await asyncio.gather(*(send(way, STREAM, b"%d" % (start + n)) for n in range(500)))
    kept = await entries(redis)
    assert 1_000 <= len(kept) < 1_200  # Redis removes whole nodes of 100
    assert kept[-1] == b"4999"


async def test_a_stream_that_is_something_else_costs_the_others_nothing(redis: Redis) -> None:
    await redis.set("no-stream", "")
    way = appending(redis)
    bad, good = await asyncio.gather(
        send(way, Target("no-stream"), BODY),
        send(way, STREAM, BODY),
    )
    assert isinstance(bad, BackendFailed)
    assert not bad.is_down
    assert accepted(good)


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with running_valkey() as valkey:
        yield valkey


async def test_a_redis_that_is_away_refuses_and_is_used_when_it_is_back(
    own_valkey: Valkey,
) -> None:
    async with make_client(own_valkey.url, retries=0) as redis:
        way = appending(redis)
        await send(way, STREAM, BODY)
        own_valkey.stop()
        found = await asyncio.gather(*(send(way, STREAM, BODY) for _ in range(100)))
        assert all(isinstance(one, BackendFailed) and one.is_down for one in found)
        events = {id(one.event) for one in found if isinstance(one, BackendFailed)}
        assert len(events) < 10, "those of a batch have failed together"
        own_valkey.start()

        await eventually(lambda: _is_accepted(way), PATIENCE_SECONDS, "it is accepted again")


async def test_a_redis_that_hangs_times_out_and_what_waits_behind_it_is_not_sent_later(
    own_valkey: Valkey,
) -> None:
    async with make_client(own_valkey.url, retries=0) as redis:
        way = appending(redis, 0.2)
        await send(way, STREAM, b"before")
        began = time.monotonic()
        with own_valkey.hanging():
            first = asyncio.create_task(send(way, STREAM, b"first"))
            await asyncio.sleep(0)
            behind = [asyncio.create_task(send(way, STREAM, b"behind")) for _ in range(50)]
            found = await asyncio.gather(first, *behind)
            assert {type(one) for one in found} == {NoAnswer}
            assert time.monotonic() - began < 5
        await eventually(lambda: _is_accepted(way), PATIENCE_SECONDS, "requests are accepted again")
        assert b"behind" not in await entries(redis)


async def _is_accepted(way: RedisWay) -> bool:
    return accepted(await send(way, STREAM, b"after"))
