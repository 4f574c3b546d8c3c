"""An append is one entry of the log: for clients nothing changes, also while pods are replaced."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.journey.raw_clients import Raw, numbers, raw
from tests.processes import Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield redis


async def burst(redis: Redis, user: str, *events: int) -> None:
    await Publisher(redis).burst(
        [("chat:new", {"userId": user, "chatId": f"n{event}"}) for event in events]
    )


async def forms(redis: Redis) -> set[bytes]:
    """The first fields of all entries of the log."""
    entries: Any = await redis.xrange(DEFAULT.log)
    return {next(iter(fields)) for _, fields in entries}


async def packs(redis: Redis) -> None:
    """Wait until what is published together is packed."""

    async def is_packed() -> bool:
        await burst(redis, "nobody", 1, 2)
        return b"packed" in await forms(redis)

    await eventually(is_packed, PATIENCE_SECONDS, "an entry is packed")


async def live_old_pod(redis: Redis) -> None:
    """Let a pod live that does not say that it can read packed entries."""
    await redis.zadd(DEFAULT.pods, {"earlier": time.time() + 600})


@asynccontextmanager
async def two_pods(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with gateway(valkey.url) as a, gateway(valkey.url) as b:
        yield a, b


async def heard(client: Raw, count: int) -> list[list[Any]]:
    return [await client.event() for _ in range(count)]


async def test_a_client_resumes_from_any_event_of_a_packed_entry(
    own_valkey: Valkey, redis: Redis, gateway: StartGateway, mine: str
) -> None:
    """On a pod that has it in memory, and on one that reads it back from Redis."""
    user = f"bob{mine}"
    async with two_pods(own_valkey, gateway) as (a, b):
        await packs(redis)
        async with raw(a, user, recovery=True) as one, raw(a, user, recovery=True) as other:
            await burst(redis, user, *range(10))
            offsets = [event[-1] for event in await heard(one, 10)]
            await heard(other, 10)
        assert len({offset.partition("-")[0] for offset in offsets}) < 10, "they are in one entry"
        async with gateway(own_valkey.url) as late:
            for pod, before in ((b, one), (late, other)):
                for seen in (0, 3, 8, 9):
                    proof = {"pid": before.answer["pid"], "offset": offsets[seen]}
                    async with raw(pod, user, **proof) as after:
                        assert after.answer == before.answer
                        assert numbers(after.missed) == [f"n{n}" for n in range(seen + 1, 10)]
                        assert [event[-1] for event in after.missed] == offsets[seen + 1 :]


async def total(a: Gateway, b: Gateway, name: str) -> float:
    return await a.metric(name) + await b.metric(name)


async def test_entries_are_packed_once_the_last_earlier_pod_has_left(
    own_valkey: Valkey, redis: Redis, gateway: StartGateway, mine: str
) -> None:
    """Who was connected before, and who resumes after, has everything once."""
    user = f"bob{mine}"
    await live_old_pod(redis)
    async with two_pods(own_valkey, gateway) as (a, b), raw(a, f"eve{mine}") as constant:
        async with raw(a, user, recovery=True) as before:
            await burst(redis, user, 0, 1, 2)
            events = await heard(before, 3)
        await burst(redis, f"eve{mine}", *range(5))
        assert await forms(redis) == {b"channel"}
        assert await total(a, b, "constellation_packing") == 0
        await redis.zrem(DEFAULT.pods, "earlier")
        await packs(redis)
        assert await total(a, b, "constellation_packing") == 1
        await burst(redis, user, 3, 4, 5)
        await burst(redis, f"eve{mine}", *range(5, 9))
        assert numbers(await heard(constant, 9)) == [f"n{n}" for n in range(9)]
        proof = {"pid": before.answer["pid"], "offset": events[1][-1]}
        async with raw(b, user, **proof) as after:
            assert after.answer == before.answer
            assert numbers(after.missed) == ["n2", "n3", "n4", "n5"]
        entries = await total(a, b, "constellation_recorded_entries_total")
        assert entries == await redis.xlen(DEFAULT.log)
        assert entries < await total(a, b, "constellation_recorded_events_total")


async def test_a_pod_that_cannot_read_packed_entries_ends_packing_and_the_epoch(
    own_valkey: Valkey, redis: Redis, gateway: StartGateway, mine: str
) -> None:
    """It may have passed over some of them: no session of before may be recovered."""
    user = f"bob{mine}"
    async with two_pods(own_valkey, gateway) as (a, b):
        async with raw(a, user, recovery=True) as before:
            await packs(redis)
            epoch = await redis.hget(DEFAULT.state, "epoch")

            async def is_over() -> bool:
                return await redis.hget(DEFAULT.state, "epoch") != epoch

            await live_old_pod(redis)
            await eventually(is_over, PATIENCE_SECONDS, "a new epoch")
            assert await redis.hget(DEFAULT.state, "reason") == b"unreadable"
            assert await before.is_closed()
        await redis.xtrim(DEFAULT.log, maxlen=0)
        async with raw(b, user, pid=before.answer["pid"]) as after:
            assert after.answer["pid"] != before.answer["pid"]
            await burst(redis, user, *range(5))
            assert numbers(await heard(after, 5)) == [f"n{n}" for n in range(5)]
        assert await forms(redis) == {b"channel"}


async def test_nothing_is_packed_where_that_is_switched_off(
    own_valkey: Valkey, redis: Redis, gateway: StartGateway, mine: str
) -> None:
    user = f"bob{mine}"

    async def has_asked() -> bool:
        return bool(await redis.hget(DEFAULT.state, "packs") == b"off")

    async with gateway(own_valkey.url, CONSTELLATION_LOG_PACKING="off") as pod:
        await eventually(has_asked, PATIENCE_SECONDS, "the recorder knows that it must not pack")
        async with raw(pod, user) as client:
            await burst(redis, user, *range(5))
            await heard(client, 5)
        assert await forms(redis) == {b"channel"}
        assert await redis.hget(DEFAULT.state, "removed") != b"packed 1"
        assert await pod.metric("constellation_packing") == 0
        events = await pod.metric("constellation_recorded_events_total")
        assert await pod.metric("constellation_recorded_entries_total") == events
