"""What the record is worth when Redis fails, is full, loses data, or is told of thousands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.announcing import record
from constellation_ws.announcing.record import CHUNK
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import HOST, Valkey, running_valkey
from tests.unit.announcing.conftest import (
    LIFETIME_SECONDS,
    ONLINE,
    Pod,
    Stream,
    nothing_more,
    running,
)
from tests.valkeys import redis_cluster
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


async def test_after_redis_lost_everything_all_are_announced_as_they_are_now(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    a.came("on a", "both", "leaves", "moves")
    b.came("on b", "both")
    await a.written()
    await b.written()
    sequence = (await stream.events())[-1]["sequence"]
    await redis.flushall()
    a.went("leaves", reason="x")
    a.went("moves")
    b.came("moves")
    await stream.until(
        *((user, "online", "restored") for user in ("on a", "on b", "both")),
        ("moves", "online", "connected"),
        ("leaves", "offline", "x"),
    )
    assert all(one["sequence"] > sequence for one in await stream.events())
    a.went("both")
    await nothing_more(stream, a, b)


async def test_the_sequence_rises_though_redis_lost_everything_and_its_clock_went_back(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    await a.written()
    ahead = 2**52  # as of a clock that was set back since
    await redis.hset(DEFAULT.presence_state, "sequence", str(ahead))
    a.came("u")
    await a.written()
    await b.written()
    assert [one["sequence"] for one in await stream.events()] == [ahead + 1]
    await redis.flushall()
    await stream.until(("u", "online", "restored"))
    a.went("u")
    await stream.until(("u", "online", "restored"), ("u", "offline", "transport close"))
    assert all(one["sequence"] > ahead + 1_000_000 for one in await stream.events())
    await nothing_more(stream, a, b)


async def test_what_redis_has_lost_of_one_pod_is_found_out(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    """As after a failover to a replica that was behind."""
    a, _ = pods
    a.came("u", "left")
    await a.written()
    # Its coming was lost, and the going of another one was.
    await redis.zrem(DEFAULT.share("pod-a.0"), "u")
    await redis.hdel(DEFAULT.announced, "u")
    await redis.zadd(DEFAULT.share("pod-a.0"), {"ghost": 0, "ghost too": 0})
    await redis.hset(DEFAULT.announced, "ghost", "pod-a.0")
    before = await stream.said()
    await stream.until(*before, ("u", "online", "restored"), ("ghost", "offline", "pod_lost"))
    await nothing_more(stream, *pods)


@pytest.mark.parametrize("key", ["shares", "announced", "presence_state", "a share"])
async def test_when_redis_evicts_one_key_everybody_is_announced_as_they_are(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis, key: str
) -> None:
    a, b = pods
    a.came("stays", "leaves")
    b.came("on b")
    await a.written()
    await b.written()
    evicted = DEFAULT.share("pod-a.0") if key == "a share" else getattr(DEFAULT, key)
    await a.kill()  # so that it leaves before the loss is found out
    await redis.delete(evicted)
    a.went("leaves")
    a.start()
    await a.written()

    async def status(user: str) -> str:
        return [one[1] for one in await stream.said(user)][-1]

    async def are_as_they_are() -> bool:
        statuses = [await status(user) for user in ("stays", "on b", "leaves")]
        return statuses == ["online", "online", "offline"]

    await eventually(are_as_they_are, PATIENCE_SECONDS, "they are announced as they are")
    a.went("stays")
    b.went("on b")

    async def have_gone() -> bool:
        return [await status(user) for user in ("stays", "on b")] == ["offline"] * 2

    await eventually(have_gone, PATIENCE_SECONDS, "they have gone")
    await nothing_more(stream, a, b)


@pytest.mark.parametrize("key", ["shares", "announced", "presence_state", "a share"])
async def test_who_was_on_a_dead_pod_goes_offline_though_redis_has_evicted_a_key(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis, key: str
) -> None:
    a, b = pods
    a.came("u", *map(str, range(600)))  # more than Redis gives in one step of a walk
    b.came("on b")
    await a.written()
    await b.written()
    await a.kill()
    await redis.delete(DEFAULT.share("pod-a.0") if key == "a share" else getattr(DEFAULT, key))

    async def have_gone() -> bool:
        latest = {one["userId"]: one["status"] for one in await stream.events()}
        return [user for user, status in latest.items() if status == "online"] == ["on b"]

    await eventually(have_gone, PATIENCE_SECONDS, "those of the dead pod are offline")
    b.went("on b", reason="x")
    await b.written()
    assert (await stream.said("on b"))[-1] == ("on b", "offline", "x")
    assert not await redis.exists(DEFAULT.share("pod-a.0"))


@pytest.mark.parametrize("writes_again", [False, True])
async def test_who_came_and_went_before_redis_went_back_is_announced_when_they_leave(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis, writes_again: bool
) -> None:
    """As many users as there should be, and another one: counting them shows nothing."""
    a, b = pods
    a.came("before")
    await a.written()
    keys = [key async for key in redis.scan_iter() if b"presence" in key]
    snapshot = {key: await redis.dump(key) for key in keys}
    a.came("after")
    await a.written()
    a.went("before")
    await a.written()
    await b.kill()
    for key, value in snapshot.items():
        assert value is not None
        await redis.restore(key, 0, value, replace=True)
    if writes_again:  # perhaps before it looks
        a.came("later")
    await a.written()
    b.start()
    a.went("after", reason="said once")
    await a.written()

    async def is_told() -> bool:
        return ("after", "offline", "said once") in await stream.said()

    async def is_forgotten() -> bool:
        return not await redis.hexists(DEFAULT.announced, "before")

    await eventually(is_told, PATIENCE_SECONDS, "it is announced")
    await eventually(is_forgotten, PATIENCE_SECONDS, "nobody who left long ago is online")
    await nothing_more(stream, a, b)


@pytest.mark.parametrize("died", [False, True])
@pytest.mark.parametrize("returns_to", ["its pod", "another pod"])
async def test_who_was_announced_as_offline_before_redis_went_back_is_announced_on_return(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis, returns_to: str, died: bool
) -> None:
    """A backend has read that the user is offline, and Redis says that it never left."""
    a, b = pods
    a.came("u")
    await a.written()
    keys = [key async for key in redis.scan_iter() if b"presence" in key]
    snapshot = {key: await redis.dump(key) for key in keys}
    a.went("u", reason="x")
    await stream.until(ONLINE, ("u", "offline", "x"))
    await b.written()
    for pod in pods:
        await pod.kill()
    for key, value in snapshot.items():
        assert value is not None
        await redis.restore(key, 0, value, replace=True)
    if not died:
        a.start()
    (a if returns_to == "its pod" else b).came("u")  # perhaps before a pod looks
    b.start()
    if died and returns_to == "its pod":
        a.start()
    await stream.until(ONLINE, ONLINE)
    await nothing_more(stream, b)


async def test_a_flap_is_announced_in_its_settled_state(
    pods: tuple[Pod, Pod], stream: Stream
) -> None:
    a, b = pods
    for _ in range(100):
        a.came("u")
        b.came("u")
        a.went("u")
        b.went("u")
    a.came("u")
    await a.written()
    await nothing_more(stream, a, b)
    assert await stream.said() == [ONLINE]


async def test_no_share_is_removed_after_an_outage_before_its_pod_could_look(
    pods: tuple[Pod, Pod], stream: Stream, valkey: Valkey
) -> None:
    a, b = pods
    a.came("u")
    b.came("v")
    await a.written()
    await b.written()
    with valkey.hanging():
        await asyncio.sleep(2 * LIFETIME_SECONDS)  # all shares have expired by the clock of Redis
    await nothing_more(stream, a, b)
    assert sorted(await stream.said()) == [ONLINE, ("v", "online", "connected")]


async def test_while_redis_is_away_tasks_live_and_afterwards_all_is_announced() -> None:
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url, socket_connect_timeout=1) as redis:
            a, b, stream = Pod(redis, "pod-a"), Pod(redis, "pod-b"), Stream(redis)
            async with running(a, b):
                a.came("u", "leaves")
                await a.written()
                valkey.stop()
                a.went("leaves", reason="x")
                a.came("comes")
                b.came("passes")
                b.went("passes")
                await a.stepped(3)
                failures = a.metrics.presence_failures.labels("redis")._value
                await eventually(failures.get, PATIENCE_SECONDS, "failures are counted")
                valkey.start()
                await stream.until(
                    ("u", "online", "restored"),
                    ("comes", "online", "connected"),
                    ("leaves", "offline", "x"),
                )


async def test_a_full_redis_announces_nothing_twice(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    a.came("u", "leaves")
    await a.written()
    await redis.config_set("maxmemory", 1)
    try:
        a.went("leaves", reason="x")
        b.came("comes")
        failures = a.metrics.presence_failures.labels("redis")._value
        await eventually(failures.get, PATIENCE_SECONDS, "Redis is full")
        assert len(await stream.said()) == 2
    finally:
        await redis.config_set("maxmemory", 0)
    online = [(user, "online", "connected") for user in ("u", "leaves", "comes")]
    await stream.until(*online, ("leaves", "offline", "x"))


async def test_the_clock_of_redis_may_go_back(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    a.came("u")
    await a.written()
    await b.written()
    await a.kill()
    # As if all of this had been written an hour later than it was.
    ahead = 3_600_000
    await redis.zincrby(DEFAULT.shares, ahead, "pod-a.0")
    await redis.hincrby(DEFAULT.presence_state, "looked", ahead)
    last = int(await redis.hget(DEFAULT.presence_state, "sequence") or 0) + ahead * 1000
    await redis.hset(DEFAULT.presence_state, "sequence", last)
    await stream.until(ONLINE, ("u", "offline", "pod_lost"))
    assert (await stream.events())[-1]["sequence"] == last + 1


async def test_ten_thousand_users_of_a_dead_pod_cost_redis_and_the_loop_little(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    users = [f"user-{number:036}" for number in range(10_000)]
    a.came(*users)
    await a.written()
    await a.kill()
    await redis.config_resetstat()
    started = time.monotonic()
    await eventually(lambda: b.count("offline") == 10_000, PATIENCE_SECONDS, "all are announced")
    assert time.monotonic() - started < LIFETIME_SECONDS + 10
    said = await stream.said()
    assert len(said) == 20_000
    assert len({user for user, status, _ in said if status == "offline"}) == 10_000
    stats: Any = await redis.info("commandstats")
    scripts = stats["cmdstat_evalsha"]["calls"]
    assert scripts >= 10_000 / CHUNK, "one script is a millisecond of Redis: see decision 0012"


async def test_the_stream_is_bounded(
    redis: Redis, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_ENTRIES", 500)
    pod = Pod(redis, "pod-a")
    async with running(pod):
        for _ in range(3):
            pod.came(*map(str, range(500)))
            await pod.written()
            pod.went(*map(str, range(500)))
            await pod.written()
    numbers = await stream.numbers()
    assert 500 <= len(numbers) < 700
    assert numbers[-1] == 3_000


async def test_a_cluster_whose_slot_is_moved_gets_every_change_once(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        endpoint = Endpoint(f"redis+cluster://{HOST}:{cluster.third.port}")
        watching = asyncio.create_task(endpoint.poll())
        redis = endpoint.client(retries=5)
        a, b, stream = Pod(redis, "pod-a"), Pod(redis, "pod-b"), Stream(redis)
        async with running(a, b):
            a.came("u", "leaves")
            b.came("u")
            await a.written()
            await b.written()
            move = await cluster.begin_move()
            a.came("comes")
            a.went("leaves", reason="x")
            await move.move_all()
            await a.stepped(5)
            await move.finish()
            users = ("u", "leaves", "comes")
            online = [(user, "online", "connected") for user in users]
            await stream.until(*online, ("leaves", "offline", "x"))
            await nothing_more(stream, a, b)
        await cancelled([watching])
        await redis.aclose()
