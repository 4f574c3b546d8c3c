"""Sessions that new connections acquire, on a real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT
from tests.unit.recovery.session_stores import running, ticket


async def test_another_users_session_cannot_be_taken_and_is_not_touched(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 60)
        assert await store.acquire("p", "thief", "b.1") is None
        acquired = await store.acquire("p", "u", "c.1")
    assert acquired is not None
    assert acquired.former_owner == "a.1"


async def test_an_unknown_session_is_none(redis: Redis) -> None:
    async with running(redis) as store:
        assert await store.acquire("p", "u", "a.1") is None


async def test_many_that_come_at_once_are_read_together(redis: Redis) -> None:
    """1,500 clients of a pod that died found the pool of connections empty."""
    async with running(redis) as store:
        tickets = [ticket(f"p{n}", sid=f"s{n}") for n in range(1_500)]
        await asyncio.gather(*(store.save(one, 60) for one in tickets))
        before = (await redis.info("stats"))["total_connections_received"]
        found = await asyncio.gather(*(store.acquire(one.pid, "u", "b.1") for one in tickets))
        after = (await redis.info("stats"))["total_connections_received"]
    assert [one.record.sid for one in found if one and one.record] == [one.sid for one in tickets]
    assert after - before <= 1


@pytest.mark.parametrize(
    "stray", [{"owner": "a.1", "user": "u", "record": "{}"}, {"owner": "", "user": "u"}]
)
async def test_a_session_that_cannot_be_read_is_there_and_empty(
    redis: Redis, stray: dict[Any, Any]
) -> None:
    async with running(redis) as store:
        await redis.hset(DEFAULT.session("p"), mapping=stray)
        acquired = await store.acquire("p", "u", "b.1")
        assert acquired is not None
        assert acquired.record is None
