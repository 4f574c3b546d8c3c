"""What a request sends is sent once, however often and wherever it is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.services.once import (
    APPENDING,
    PUBLISHING,
    Once,
    RetryKey,
    fingerprint,
)
from constellation_ws.services.refusals import RequestRefused
from tests.processes import HOST, unused_port
from tests.valkeys import redis_cluster

KEY = RetryKey("billing", "key-1", fingerprint(b"POST", b"body"))
EVENTS = [("chat:new", b'{"userId":1}'), ("chat:new", b'{"userId":2}')]
KEPT_SECONDS = 100


def appending(redis: Redis) -> Once:
    return Once([(redis, DEFAULT)], Partitioning().find, APPENDING, KEPT_SECONDS)


async def logged(redis: Redis) -> list[tuple[str, bytes, bytes]]:
    entries: Any = await redis.xrange(DEFAULT.log)
    return [(log_id.decode(), one[b"channel"], one[b"data"]) for log_id, one in entries]


async def test_the_first_request_appends_in_order_and_all_others_get_its_answer(
    redis: Redis,
) -> None:
    first = await appending(redis).send_all(KEY, EVENTS)
    again = await appending(redis).send_all(KEY, EVENTS)

    assert first == again
    assert await logged(redis) == [
        (log_id, channel.encode(), data)
        for log_id, (channel, data) in zip(first, EVENTS, strict=True)
    ]


async def test_repetitions_at_the_same_time_append_once(redis: Redis) -> None:
    pods = [appending(redis) for _ in range(20)]

    answers = await asyncio.gather(*(pod.send_all(KEY, EVENTS) for pod in pods))

    assert len({tuple(ids) for ids in answers}) == 1
    assert len(await logged(redis)) == len(EVENTS)


async def test_the_same_key_for_another_request_is_refused(redis: Redis) -> None:
    once = appending(redis)
    await once.send_all(KEY, EVENTS)

    with pytest.raises(RequestRefused) as caught:
        await once.send_all(replace(KEY, fingerprint=fingerprint(b"POST", b"else")), EVENTS)

    assert caught.value.code == "idempotency_key_reused"
    assert len(await logged(redis)) == len(EVENTS)


@pytest.mark.parametrize("other", [replace(KEY, caller="mailer"), replace(KEY, key="key-2")])
async def test_other_keys_and_the_keys_of_other_callers_are_their_own(
    redis: Redis, other: RetryKey
) -> None:
    once = appending(redis)

    assert await once.send_all(KEY, EVENTS) != await once.send_all(other, EVENTS)


def test_no_caller_can_write_the_key_of_another() -> None:
    assert RetryKey("a", "b:c", "").digest() != RetryKey("a:b", "c", "").digest()


def test_parts_are_told_apart_wherever_they_are_cut() -> None:
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc")


async def test_what_is_kept_expires(redis: Redis) -> None:
    await appending(redis).send_all(KEY, EVENTS)

    (key,) = [key async for key in redis.scan_iter(DEFAULT.once("*"))]

    assert 0 < await redis.ttl(key) <= KEPT_SECONDS


async def test_without_a_log_messages_are_published_once_and_have_no_ids(redis: Redis) -> None:
    once = Once([(redis, DEFAULT)], Partitioning().find, PUBLISHING, KEPT_SECONDS)
    async with redis.pubsub() as subscription:
        await subscription.subscribe("chat:new")
        assert await once.send_all(KEY, EVENTS) == [None, None]
        assert await once.send_all(KEY, EVENTS) == [None, None]
        await redis.publish("chat:new", "the end")
        heard = list[bytes]()
        while (heard or [b""])[-1] != b"the end":
            message: Any = await subscription.get_message(ignore_subscribe_messages=True, timeout=5)
            if message is not None:
                heard.append(message["data"])

    assert heard == [data for _, data in EVENTS] + [b"the end"]
    assert await logged(redis) == []


@pytest.fixture
async def nowhere() -> AsyncIterator[Redis]:
    """A client of a Redis that is away."""
    async with make_client(f"redis://{HOST}:{unused_port()}", retries=0) as redis:
        yield redis


async def test_a_redis_that_is_away_is_reported(nowhere: Redis) -> None:
    with pytest.raises(RedisUnavailable):
        await appending(nowhere).send_all(KEY, EVENTS)


def test_what_is_sent_is_sent_once_wherever_the_slot_is(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:

        async def scenario() -> None:
            await cluster.is_whole()
            url = f"redis+cluster://{HOST}:{cluster.third.port}"
            async with make_client(url, retries=5) as redis:
                appending = Once([(redis, DEFAULT)], Partitioning().find, APPENDING, 60)
                publishing = Once([(redis, DEFAULT)], Partitioning().find, PUBLISHING, 60)
                first = await appending.send_all(KEY, EVENTS)
                move = await cluster.begin_move()
                # What was done is known, and without a log nothing has to wait for the move.
                assert await appending.send_all(KEY, EVENTS) == first
                assert await publishing.send_all(replace(KEY, key="key-2"), EVENTS) == [None, None]
                with pytest.raises(RedisUnavailable):
                    await appending.send_all(replace(KEY, key="key-3"), EVENTS)
                await move.finish()
                assert await appending.send_all(KEY, EVENTS) == first
                third = await appending.send_all(replace(KEY, key="key-3"), EVENTS)
                entries: Any = await redis.xrange(DEFAULT.log)
                assert [one.decode() for one, _ in entries] == [*first, *third]

        asyncio.run(scenario())


async def test_all_of_a_request_is_in_the_partition_of_its_first_message(redis: Redis) -> None:
    logs = [(redis, DEFAULT.of_partition(number)) for number in range(3)]
    once = Once(logs, lambda channel, data: int(data), APPENDING, KEPT_SECONDS)
    first = await once.send_all(KEY, [("c", b"2"), ("c", b"1")])
    assert await once.send_all(KEY, [("c", b"2"), ("c", b"1")]) == first
    assert [await redis.xlen(names.log) for _, names in logs] == [0, 0, 2]
    assert await redis.exists(DEFAULT.of_partition(2).once(KEY.digest()))
