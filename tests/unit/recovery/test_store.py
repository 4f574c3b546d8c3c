"""Sessions on a real Valkey: written in bulk, owned by one connection, kept while Redis is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from constellation_ws.log.session_mark import SessionMark
from constellation_ws.recovery import store as stores
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.link import RedisUnavailable, make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import HOST, Valkey
from tests.spawning import spawn
from tests.unit.recovery.session_stores import DELIVERED, Fenced, running, taken_rooms, ticket
from tests.valkeys import lasting_valkey, redis_cluster
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


async def test_a_session_is_taken_as_it_was_written_last(redis: Redis) -> None:
    async with running(redis) as store:
        one = ticket()
        await store.save(one, 60)
        one.moved("chat:a", (2, 0), is_in=True)
        await store.save(one, 60)
        acquired = await store.acquire("p", "u", "b.1")
    assert acquired is not None
    assert acquired.former_owner == "a.1"
    assert acquired.record is not None
    assert (acquired.record.sid, acquired.record.rooms_at) == ("s", DELIVERED)
    assert acquired.record.final_rooms == {"user:u", "chat:a"}


async def test_changes_that_come_together_are_one_write(redis: Redis) -> None:
    async with running(redis) as store:
        one = ticket()
        first = store.save(one, 60)
        one.moved("chat:a", (2, 0), is_in=True)
        assert store.save(one, 60) is first
        await first
        assert await taken_rooms(store) == {"user:u", "chat:a"}


async def test_who_has_lost_a_session_writes_and_deletes_it_no_more_and_is_told(
    redis: Redis,
) -> None:
    fenced = Fenced()
    async with running(redis, fenced) as store:
        late = ticket()
        await store.save(late, 60)
        await store.acquire("p", "u", "b.1")
        late.moved("chat:late", (2, 0), is_in=True)
        await store.save(late, 60)
        await store.drop(late)
        assert await taken_rooms(store) == {"user:u"}
    assert fenced == [("s", "a.1")]


async def test_a_session_that_redis_has_lost_is_written_whole_and_nobody_is_fenced(
    redis: Redis,
) -> None:
    """Its connection is there: it may have outlived its TTL while Redis could not be reached."""
    fenced = Fenced()
    async with running(redis, fenced) as store:
        one = ticket()
        await store.save(one, 60)
        await redis.flushall()
        one.moved("chat:a", (2, 0), is_in=True)
        await store.save(one, 60)
        one.rooms = {"user:u", "chat:a"}
        assert await taken_rooms(store) == {"user:u", "chat:a"}
    assert fenced == []


async def test_a_session_ends_with_its_lifetime(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 0.2)

        async def is_gone() -> bool:
            return not await redis.exists(DEFAULT.session("p"))

        await eventually(is_gone, PATIENCE_SECONDS, "it has expired")
        assert await store.acquire("p", "u", "b.1") is None


async def test_a_dropped_session_is_gone_at_once(redis: Redis) -> None:
    async with running(redis) as store:
        one = ticket()
        store.save(one, 60)
        await store.drop(one)
        assert await store.acquire("p", "u", "b.1") is None


async def test_a_session_that_was_taken_in_vain_can_be_discarded(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 60)
        assert await store.acquire("p", "u", "b.1") is not None
        store.discard("p", "b.1")
        await store.flush()
        assert not await redis.exists(DEFAULT.session("p"))


async def test_a_thousand_sessions_and_one_with_thousands_of_rooms_are_written(
    redis: Redis,
) -> None:
    async with running(redis) as store:
        large = ticket("large")
        large.rooms = {f"room:{n}" for n in range(10_000)}
        store.save(large, 60)
        for n in range(1_200):
            store.save(ticket(f"p{n}"), 60)
        await store.flush()
        assert len(await redis.keys(DEFAULT.session("*"))) == 1_201
        assert await taken_rooms(store, "large") == large.rooms


async def test_a_new_connection_of_this_pod_takes_the_place_of_what_waits(redis: Redis) -> None:
    store = SessionStore(redis, spawn, SessionMark("pod"))
    older = store.save(ticket(owner="a.1", sid="old"), 60)
    newer = store.save(ticket(owner="a.2", sid="new"), 60)
    assert older.cancelled()
    task = asyncio.create_task(store.run(lambda: DELIVERED, Fenced().add))
    await newer
    acquired = await store.acquire("p", "u", "b.1")
    await cancelled([task])
    assert acquired is not None
    assert acquired.record is not None
    assert acquired.record.sid == "new"


async def test_what_could_not_be_written_is_written_when_redis_is_back(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis, running(redis) as store:
            valkey.stop()
            one, other = ticket(), ticket("q", "a.2", "t")
            first, second = store.save(one, 60), store.save(other, 60)
            await eventually(lambda: store.is_failing, PATIENCE_SECONDS, "it has failed")
            one.moved("chat:a", (2, 0), is_in=True)
            third = store.save(one, 60)
            with pytest.raises(RedisUnavailable):
                await store.acquire("p", "u", "b.1")
            valkey.start()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(first, second, third)
            assert not store.is_failing
            assert await taken_rooms(store) == {"user:u", "chat:a"}


async def test_a_full_redis_does_not_keep_sessions_from_being_looked_for(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 60)
        await redis.config_set("maxmemory", "1")
        try:
            store.save(ticket("q"), 60)
            await eventually(lambda: store.is_failing, PATIENCE_SECONDS, "it cannot be written")
            assert await store.acquire("nobody's", "u", "b.1") is None
        finally:
            await redis.config_set("maxmemory", "0")
        await store.flush()
        assert await taken_rooms(store, "q") == {"user:u"}


async def test_of_a_chunk_only_what_a_full_redis_refused_is_written_again(redis: Redis) -> None:
    async with running(redis) as store:
        left = ticket()
        await store.save(left, 60)
        await redis.config_set("maxmemory", "1")
        try:
            dropped, saved = store.drop(left), store.save(ticket("q"), 60)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await dropped
            assert store.is_failing
            assert not saved.done()
            assert not await redis.exists(DEFAULT.session("p"))
        finally:
            await redis.config_set("maxmemory", "0")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await saved
        assert not store.is_failing
        assert await taken_rooms(store, "q") == {"user:u"}


async def test_sessions_are_written_where_redis_has_lost_the_scripts(redis: Redis) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 60)
        await redis.script_flush()
        await asyncio.gather(*(store.save(ticket(f"p{n}"), 60) for n in range(20)))
        assert await taken_rooms(store, "p7") == {"user:u"}
        await redis.script_flush()
        assert await taken_rooms(store, "p8") == {"user:u"}
        assert not store.is_failing


async def test_a_lost_connection_is_no_failure(redis: Redis) -> None:
    """Joins would be refused although Redis works."""
    async with running(redis) as store:
        await store.save(ticket(), 60)
        await redis.client_pause(60_000, all=False)
        done = asyncio.gather(*(store.save(ticket(f"p{n}"), 60) for n in range(20)))
        await eventually(lambda: store._sending, PATIENCE_SECONDS, "they are under way")
        await redis.client_kill_filter(_type="normal", skipme=True)
        await redis.client_unpause()
        failed: list[bool] = []
        done.add_done_callback(lambda _: failed.append(store.is_failing))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done
        assert failed == [False]
        assert await taken_rooms(store, "p7") == {"user:u"}


async def test_what_a_redis_that_hangs_may_have_written_is_written_again_in_full(
    redis: Redis, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_REDIS_SECONDS", 0.3)
    async with running(redis) as store:
        one = ticket()
        await store.save(one, 60)
        with valkey.hanging():
            one.moved("chat:a", (2, 0), is_in=True)
            first = store.save(one, 60)
            await eventually(lambda: store.is_failing, PATIENCE_SECONDS, "it is known to hang")
            assert not first.done()
            assert not one.is_stored
            one.rooms = {"user:u", "chat:a", "chat:b"}
            one.moved("chat:b", (3, 0), is_in=True)
            second = store.save(one, 60)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(first, second)
        assert one.is_stored
        assert await taken_rooms(store) == {"user:u", "chat:a", "chat:b"}


async def test_sessions_are_written_while_their_slot_moves(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        url = f"redis+cluster://{HOST}:{cluster.third.port}"
        async with make_client(url, retries=0) as redis, running(redis) as store:
            tickets = [ticket(f"p{n}") for n in range(40)]

            async def saved(count: int, room: str) -> None:
                for one in tickets[:count]:
                    one.moved(room, (2, 0), is_in=True)
                    one.rooms = {*one.rooms, room}
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.gather(*(store.save(one, 60) for one in tickets[:count]))

            await saved(20, "before")
            move = await cluster.begin_move()
            await move.move(*(DEFAULT.session(one.pid) for one in tickets[:10]))
            await saved(40, "meanwhile")
            await move.finish()
            await saved(40, "after")
            assert await taken_rooms(store, "p0") == {"user:u", "before", "meanwhile", "after"}
            assert await taken_rooms(store, "p15") == {"user:u", "before", "meanwhile", "after"}
            assert await taken_rooms(store, "p30") == {"user:u", "meanwhile", "after"}
            assert not store.is_failing


async def test_a_drain_waits_until_redis_is_back(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis, running(redis) as store:
            await store.save(ticket(), 60)
            valkey.stop()
            for number in range(600):  # more than one chunk
                store.save(ticket(f"p{number}"), 60)
            flushing = asyncio.create_task(store.flush())
            await eventually(lambda: store.is_failing, PATIENCE_SECONDS, "it has failed")
            assert not flushing.done()
            valkey.start()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await flushing
            assert len(await redis.keys(DEFAULT.session("*"))) == 601


async def test_flush_waits_for_what_is_being_sent_too(redis: Redis) -> None:
    async with running(redis) as store:
        done = store.save(ticket(), 60)
        await eventually(lambda: store._sending or done.done(), PATIENCE_SECONDS, "it is under way")
        await store.flush()
        assert done.done()


async def test_a_session_that_is_withdrawn_is_written_no_more(redis: Redis) -> None:
    """Another pod writes it from here on."""
    async with running(redis) as store:
        one = ticket()
        await store.save(one, 60)
        one.moved("chat:a", (2, 0), is_in=True)
        done = store.save(one, 60)
        assert store.withdraw(one)
        assert done.cancelled()
        await store.save(ticket("q"), 60)
        assert await taken_rooms(store) == {"user:u"}


async def test_a_session_of_which_nothing_is_to_be_written_can_be_withdrawn(redis: Redis) -> None:
    async with running(redis) as store:
        one = ticket()
        assert store.withdraw(one)
        await store.save(one, 60)
        assert store.withdraw(one)
        assert await taken_rooms(store) == {"user:u"}


async def test_a_session_is_not_withdrawn_while_a_write_of_it_is_on_its_way(
    redis: Redis, valkey: Valkey
) -> None:
    """It might arrive behind those of the pod that goes on."""
    async with running(redis) as store:
        one, other = ticket(), ticket("q")
        with valkey.hanging():
            done = store.save(one, 60)
            await eventually(lambda: store._sending, PATIENCE_SECONDS, "it is under way")
            assert not store.withdraw(one)
            assert store.withdraw(other)
        await done
        assert store.withdraw(one)


async def test_a_session_that_another_connection_has_taken_is_not_withdrawn_from_it(
    redis: Redis,
) -> None:
    async with running(redis) as store:
        await store.save(ticket(), 60)
        await store.acquire("p", "u", "a.2")
        former, newer = ticket(), ticket(owner="a.2", sid="t")
        newer.moved("chat:a", (2, 0), is_in=True)
        done = store.save(newer, 60)
        assert store.withdraw(former)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done
        assert await taken_rooms(store) == {"user:u", "chat:a"}
