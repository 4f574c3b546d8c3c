"""Requests on a real Redis: on a channel, or in a stream that does not grow without bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.backends import redis as backend_redis
from constellation_ws.backends.answers import BackendFailed
from constellation_ws.backends.redis import RedisWay, append, publish
from constellation_ws.backends.ways import Target
from constellation_ws.redis_io.link import make_client
from tests.processes import Valkey, running_valkey
from tests.spawning import spawn
from tests.waiting import PATIENCE_SECONDS, eventually

BODY = '{"event":"place-order","data":"Привет"}'.encode()
STREAM = Target("orders")


def appending(redis: Redis, timeout: float = PATIENCE_SECONDS) -> RedisWay:
    return RedisWay(redis, spawn, timeout, append)


async def entries(redis: Redis) -> list[bytes]:
    """What is in the stream, oldest first."""
    found: Any = await redis.xrange("orders")
    assert all(fields.keys() == {b"data"} for _, fields in found)
    return [fields[b"data"] for _, fields in found]


async def test_a_request_is_published_and_accepted_when_nobody_subscribes(redis: Redis) -> None:
    way = RedisWay(redis, spawn, PATIENCE_SECONDS, publish)
    assert bytes(await way.send(Target("orders"), BODY, "")) == b'{"success":true}'
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("orders")
        await pubsub.get_message(timeout=PATIENCE_SECONDS)
        await way.send(Target("orders"), BODY, "")
        message = await pubsub.get_message(timeout=PATIENCE_SECONDS)
    assert message is not None
    assert (message["channel"], message["data"]) == (b"orders", BODY)


async def test_a_request_is_appended_as_one_field(redis: Redis) -> None:
    assert bytes(await appending(redis).send(STREAM, BODY, "")) == b'{"success":true}'
    assert await entries(redis) == [BODY]


async def test_requests_are_in_the_stream_in_their_order(redis: Redis) -> None:
    way = appending(redis)
    sent = [b"%d" % number for number in range(1_000)]
    await asyncio.gather(*(way.send(STREAM, one, "") for one in sent))
    assert await entries(redis) == sent


async def test_a_stream_keeps_the_last_requests_only(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_redis, "STREAM_ENTRIES", 1_000)
    way = appending(redis)
    for start in range(0, 5_000, 500):
        await asyncio.gather(*(way.send(STREAM, b"%d" % (start + n), "") for n in range(500)))
    kept = await entries(redis)
    assert 1_000 <= len(kept) < 1_200  # Redis removes whole nodes of 100
    assert kept[-1] == b"4999"


async def test_a_stream_that_is_something_else_costs_the_others_nothing(redis: Redis) -> None:
    await redis.set("no-stream", "")
    way = appending(redis)
    bad, good = await asyncio.gather(
        way.send(Target("no-stream"), BODY, ""),
        way.send(STREAM, BODY, ""),
        return_exceptions=True,
    )
    assert isinstance(bad, BackendFailed)
    assert not bad.is_down
    assert not isinstance(good, BaseException)


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with running_valkey() as valkey:
        yield valkey


async def test_a_redis_that_is_away_refuses_and_is_used_when_it_is_back(
    own_valkey: Valkey,
) -> None:
    async with make_client(own_valkey.url, retries=0) as redis:
        way = appending(redis)
        await way.send(STREAM, BODY, "")
        own_valkey.stop()
        found = await asyncio.gather(
            *(way.send(STREAM, BODY, "") for _ in range(100)), return_exceptions=True
        )
        assert all(isinstance(one, BackendFailed) and one.is_down for one in found)
        events = {id(one.event) for one in found if isinstance(one, BackendFailed)}
        assert len(events) < 10, "those of a batch have failed together"
        own_valkey.start()

        async def is_accepted() -> bool:
            try:
                await way.send(STREAM, BODY, "")
            except BackendFailed:
                return False
            return True

        await eventually(is_accepted, PATIENCE_SECONDS, "it is accepted again")


async def test_a_redis_that_hangs_times_out_and_what_waits_behind_it_is_not_sent_later(
    own_valkey: Valkey,
) -> None:
    async with make_client(own_valkey.url, retries=0) as redis:
        way = appending(redis, 0.2)
        await way.send(STREAM, b"before", "")
        began = time.monotonic()
        with own_valkey.hanging():
            first = asyncio.create_task(way.send(STREAM, b"first", ""))
            await asyncio.sleep(0)
            behind = [asyncio.create_task(way.send(STREAM, b"behind", "")) for _ in range(50)]
            found = await asyncio.gather(first, *behind, return_exceptions=True)
            assert {type(one) for one in found} == {TimeoutError}
            assert time.monotonic() - began < 5
        await eventually(lambda: _is_accepted(way), PATIENCE_SECONDS, "requests are accepted again")
        assert b"behind" not in await entries(redis)


async def _is_accepted(way: RedisWay) -> bool:
    try:
        await way.send(STREAM, b"after", "")
    except (TimeoutError, BackendFailed):
        return False
    return True
