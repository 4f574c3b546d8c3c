"""Appending to the log without a lease, on a real Valkey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.producer import Producer
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import producer
from tests.valkeys import lasting_valkey
from tests.waiting import PATIENCE_SECONDS

MESSAGES = [("chat:new", b"{}"), ("chat:new", b"{}")]


async def test_what_is_appended_is_answered_with_its_ids(redis: Redis) -> None:
    answers = await producer(redis).append_all(MESSAGES)

    entries: Any = await redis.xrange(DEFAULT.log)
    assert answers == [log_id.decode() for log_id, _ in entries]


async def test_each_message_has_an_answer_if_redis_is_away(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis:
            valkey.stop()
            answers = await producer(redis).append_all(MESSAGES)
    assert [type(answer) for answer in answers] == [RedisUnavailable, RedisUnavailable]


async def test_what_is_volatile_is_published_and_not_in_the_log(redis: Redis) -> None:
    sender = producer(redis, frozenset(["position"]))
    async with redis.pubsub() as listener:
        await listener.subscribe("position")
        await listener.get_message(timeout=PATIENCE_SECONDS)
        answers = await sender.append_all([("position", b"1"), ("chat:new", b"2")])
        message = await listener.get_message(
            ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS
        )
    assert message is not None
    assert message["data"] == b"1"
    entries: Any = await redis.xrange(DEFAULT.log)
    assert answers == [None, entries[0][0].decode()]
    assert len(entries) == 1


async def test_each_message_is_in_the_log_of_its_partition(redis: Redis) -> None:
    logs = [(redis, DEFAULT.of_partition(number)) for number in range(3)]
    sender = Producer(logs, lambda channel, data: int(data), frozenset(["position"]))
    messages = [("c", b"2"), ("c", b"0"), ("position", b"1"), ("c", b"2"), ("c", b"1")]
    answers = await sender.append_all(messages)
    found: list[Any] = [await redis.xrange(names.log) for _, names in logs]
    assert [[one[b"data"] for _, one in entries] for entries in found] == [
        [b"0"],
        [b"1"],
        [b"2", b"2"],
    ]
    ids = [[log_id.decode() for log_id, _ in entries] for entries in found]
    assert answers == [ids[2][0], ids[0][0], None, ids[2][1], ids[1][0]]
