"""Sessions on a real Valkey: written in bulk, owned by one connection, kept while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.redis_link import RedisUnavailable, make_client
from service.session_store import SessionRecord, SessionStore
from tests.valkeys import lasting_valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


@asynccontextmanager
async def running(redis: Redis) -> AsyncIterator[SessionStore]:
    store = SessionStore(redis)
    task = asyncio.create_task(store.run(lambda: None))
    try:
        yield store
    finally:
        await cancelled([task])


def record(sid: str = "s", *, rooms: tuple[str, ...] = ()) -> SessionRecord:
    return SessionRecord("u", sid, list(rooms), "1-0", "1-0", is_exact=False)


async def test_a_session_is_taken_as_it_was_written_last(redis: Redis) -> None:
    async with running(redis) as store:
        store.save("p", "a.1", record(), 60)
        store.save("p", "a.1", record(rooms=("r",)), 60)
        await store.flush()
        taken = await store.take("p", "u", "b.1")
    assert taken is not None
    assert (taken.record, taken.former_owner) == (record(rooms=("r",)), "a.1")


async def test_another_users_session_cannot_be_taken_and_is_not_touched(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save("p", "a.1", record(), 60)
        assert await store.take("p", "thief", "b.1") is None
        taken = await store.take("p", "u", "c.1")
    assert taken is not None
    assert taken.former_owner == "a.1"


async def test_an_unknown_session_is_none(redis: Redis) -> None:
    assert await SessionStore(redis).take("p", "u", "a.1") is None


async def test_who_has_lost_a_session_writes_and_deletes_it_no_more_and_is_told(
    redis: Redis,
) -> None:
    fenced: list[tuple[str, str]] = []
    async with running(redis) as store:
        await store.save("p", "a.1", record(), 60)
        await store.take("p", "u", "b.1")
        store.on_fenced = lambda sid, owner: fenced.append((sid, owner))
        await store.save("p", "a.1", record("late"), 60)
        await store.drop("p", "a.1")
        taken = await store.take("p", "u", "c.1")
    assert taken is not None
    assert taken.record == record()
    assert fenced == [("late", "a.1")]


async def test_a_session_that_redis_has_let_go_is_written_anew_and_nobody_is_fenced(
    redis: Redis,
) -> None:
    """Its connection is there: it may have outlived its TTL while Redis could not be reached."""
    fenced: list[tuple[str, str]] = []
    async with running(redis) as store:
        store.on_fenced = lambda sid, owner: fenced.append((sid, owner))
        await store.save("p", "a.1", record(), 60)
        await redis.flushall()
        await store.save("p", "a.1", record(), 60)
        assert await store.take("p", "u", "b.1") is not None
    assert fenced == []


async def test_a_session_ends_with_its_lifetime(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save("p", "a.1", record(), 0.2)

        async def is_gone() -> bool:
            return not await redis.exists("{constellation:events}:session:p")

        await eventually(is_gone, PATIENCE_SECONDS, "it has expired")
        assert await store.take("p", "u", "b.1") is None


async def test_a_dropped_session_is_gone_at_once(redis: Redis) -> None:
    async with running(redis) as store:
        store.save("p", "a.1", record(), 60)
        await store.drop("p", "a.1")
        assert await store.take("p", "u", "b.1") is None


async def test_a_thousand_sessions_are_written(redis: Redis) -> None:
    async with running(redis) as store:
        for n in range(1_200):
            store.save(f"p{n}", "a.1", record(), 60)
        await store.flush()
        assert len(await redis.keys("{constellation:events}:session:*")) == 1_200


async def test_a_new_connection_of_this_pod_takes_the_place_of_what_waits(redis: Redis) -> None:
    store = SessionStore(redis)
    older = store.save("p", "a.1", record("old"), 60)
    newer = store.save("p", "a.2", record("new"), 60)
    assert older.cancelled()
    task = asyncio.create_task(store.run(lambda: None))
    await newer
    await cancelled([task])
    taken = await store.take("p", "u", "b.1")
    assert taken is not None
    assert taken.record.sid == "new"


async def test_what_could_not_be_written_is_written_when_redis_is_back(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis, running(redis) as store:
            valkey.stop()
            first = store.save("p", "a.1", record(), 60)
            other = store.save("q", "a.2", record("t"), 60)
            await eventually(lambda: store._sending, PATIENCE_SECONDS, "they are under way")
            second = store.save("p", "a.1", record(rooms=("r",)), 60)
            with pytest.raises(RedisUnavailable):
                await store.take("p", "u", "b.1")
            valkey.start()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(first, second, other)

            async def take_p() -> object:
                try:
                    return await store.take("p", "u", "b.1")
                except RedisUnavailable:
                    return None  # a connection of before the restart

            taken = await eventually(take_p, PATIENCE_SECONDS, "it is there")
    assert taken.record.rooms == ["r"]  # type: ignore[attr-defined]  # `eventually` gives an object


async def test_flush_waits_for_what_is_being_sent_too(redis: Redis) -> None:
    async with running(redis) as store:
        done = store.save("p", "a.1", record(), 60)
        await eventually(lambda: store._sending or done.done(), PATIENCE_SECONDS, "it is under way")
        await store.flush()
        assert done.done()
