"""Appending to the log without a lease, on a real Valkey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.producer import Producer
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.valkeys import lasting_valkey

MESSAGES = [("chat:new", b"{}"), ("chat:new", b"{}")]


async def test_what_is_appended_is_answered_with_its_ids(redis: Redis) -> None:
    answers = await Producer(redis, DEFAULT).append_all(MESSAGES)

    entries: Any = await redis.xrange(DEFAULT.log)
    assert answers == [log_id.decode() for log_id, _ in entries]


async def test_each_message_has_an_answer_if_redis_is_away(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis:
            valkey.stop()
            answers = await Producer(redis, DEFAULT).append_all(MESSAGES)
    assert [type(answer) for answer in answers] == [RedisUnavailable, RedisUnavailable]
