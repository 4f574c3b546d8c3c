"""Who comes and goes is announced once by two pods on a real Valkey, whatever happens to them."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis.asyncio import Redis

from constellation_ws.announcing import record
from constellation_ws.redis_io.names import DEFAULT
from tests.unit.announcing.conftest import (
    LIFETIME_SECONDS,
    ONLINE,
    Pod,
    Stream,
    nothing_more,
    running,
)
from tests.waiting import PATIENCE_SECONDS, throughout

ODD = ["a/b", '"quoted"', "back\\slash", "Б я", "🙂", "{}", "%d", "-", "+", "!", "1"]


async def test_a_user_is_announced_once_whatever_pods_and_tabs_there_are(
    pods: tuple[Pod, Pod], stream: Stream
) -> None:
    a, b = pods
    a.came("u")
    b.came("u")
    await stream.until(ONLINE)
    a.went("u", reason="client disconnect")
    await nothing_more(stream, a, b)
    b.went("u", reason="ping timeout")
    await stream.until(ONLINE, ("u", "offline", "ping timeout"))
    await nothing_more(stream, a, b)
    assert a.count("online") + b.count("online") == 1
    assert a.count("offline") + b.count("offline") == 1


async def test_events_have_a_time_of_redis_a_rising_sequence_and_the_users_id(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    seconds, _ = await redis.time()
    a.came(*ODD)
    b.came(*ODD)
    await a.written()
    await b.written()
    events = await stream.events()
    assert sorted(one["userId"] for one in events) == sorted(ODD)
    assert all(one.keys() == {"userId", "status", "at", "reason", "sequence"} for one in events)
    assert all(seconds <= one["at"] / 1000 <= seconds + PATIENCE_SECONDS for one in events)
    sequences = [one["sequence"] for one in events]
    assert sequences == sorted(set(sequences))
    assert all(type(one) is int and one < 2**53 for one in sequences)
    assert await stream.numbers() == list(range(1, len(ODD) + 1))


async def test_the_same_is_published(pods: tuple[Pod, Pod], stream: Stream, redis: Redis) -> None:
    a, _ = pods
    async with redis.pubsub() as subscription:
        await subscription.subscribe("constellation:presence")
        await subscription.get_message(timeout=PATIENCE_SECONDS)
        a.came("u")
        await a.written()
        a.went("u")
        await a.written()
        published: list[object] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(published) < 2:
                message = await subscription.get_message(True, timeout=1)
                if message is not None:
                    published.append(json.loads(message["data"]))
    assert published == await stream.events()


async def test_who_moves_between_pods_is_not_announced(
    pods: tuple[Pod, Pod], stream: Stream
) -> None:
    a, b = pods
    a.came("u")
    await stream.until(ONLINE)
    for here, there in ((a, b), (b, a)) * 3:
        there.came("u")
        await there.written()
        here.went("u")
        await here.written()
    await nothing_more(stream, a, b)


async def test_the_users_of_a_killed_pod_go_offline_unless_they_are_elsewhere(
    pods: tuple[Pod, Pod], stream: Stream, redis: Redis
) -> None:
    a, b = pods
    a.came("u", "stays")
    b.came("stays", "other")
    await a.written()
    await b.written()
    online = [(user, "online", "connected") for user in ("u", "stays", "other")]
    await a.kill()
    await stream.until(*online, ("u", "offline", "pod_lost"))
    assert await redis.zcard(DEFAULT.shares) == 1
    assert not await redis.exists(DEFAULT.share("pod-a.0"))
    b.went("stays", reason="x")
    await stream.until(*online, ("u", "offline", "pod_lost"), ("stays", "offline", "x"))


async def test_who_is_back_elsewhere_before_the_killed_pod_is_noticed_is_not_announced(
    pods: tuple[Pod, Pod], stream: Stream
) -> None:
    a, b = pods
    a.came("u")
    await a.written()
    await a.kill()
    b.came("u")
    await nothing_more(stream, b)
    assert await stream.said() == [ONLINE]


async def test_a_new_pod_announces_the_users_of_pods_that_all_died(
    redis: Redis, stream: Stream
) -> None:
    a, later = Pod(redis, "pod-a"), Pod(redis, "later")
    async with running(a):
        a.came("u", "back")
        await a.written()
    await throughout(lambda: True, LIFETIME_SECONDS, "nobody looks")
    async with running(later):
        later.came("back")
        online = [ONLINE, ("back", "online", "connected")]
        await stream.until(*online, ("u", "offline", "pod_lost"))


async def test_the_users_of_a_pod_that_stops_have_the_grace_to_be_elsewhere(
    pods: tuple[Pod, Pod], stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pods
    monkeypatch.setattr(record, "LIFETIME_SECONDS", 1000)
    a.came("u", "moves")
    await a.written()
    await b.written()
    await a.announcer.withdraw()
    b.came("moves")
    a.went("moves")  # its task runs until the process ends, and writes nothing
    online = [ONLINE, ("moves", "online", "connected")]
    monkeypatch.setattr(record, "LIFETIME_SECONDS", LIFETIME_SECONDS)
    await stream.until(*online, ("u", "offline", "drain"))
    await nothing_more(stream, a, b)


async def test_a_pod_that_was_paused_and_counted_as_dead_announces_its_users_again(
    pods: tuple[Pod, Pod], stream: Stream
) -> None:
    a, _ = pods
    a.came("u", "leaves")
    await a.written()
    await a.kill()
    online = [ONLINE, ("leaves", "online", "connected")]
    offline = [(one, "offline", "pod_lost") for one in ("u", "leaves")]
    await stream.until(*online, *offline)
    a.went("leaves")  # not again
    a.start()
    await stream.until(*online, *offline, ("u", "online", "restored"))
    await nothing_more(stream, *pods)
