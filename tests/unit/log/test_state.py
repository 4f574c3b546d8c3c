"""The recorder's lease, on a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.log.ids import LogId
from constellation_ws.log.state import ONLY_ASKING, Look
from constellation_ws.redis_io.names import DEFAULT
from tests.unit.log.log_pods import (
    Pod,
    candidacy,
    following,
    founded,
    show_pod,
)
from tests.waiting import PATIENCE_SECONDS, eventually


async def test_a_pod_that_was_away_is_patient_from_its_own_return_on(redis: Redis) -> None:
    """However long ago the lease has ended: the others come back at their own times."""
    one = Pod(redis)
    await founded(one)
    await redis.hset(DEFAULT.state, "until", 0)

    async def is_granted(patience: float) -> bool:
        asked = candidacy("b.1", patience=patience, waiting=0)
        return (await one.log.state.request_lease(asked, 5)).is_granted

    assert not await is_granted(60)
    await eventually(lambda: is_granted(0.1), PATIENCE_SECONDS, "its patience ends")


async def test_those_that_redis_refused_to_list_are_waited_for_once_it_does(redis: Redis) -> None:
    """The first to ask after an outage passed over what only older pods had received."""
    pod = Pod(redis)

    async def is_granted(lease_id: str, waiting: float) -> bool:
        asked = candidacy(lease_id, patience=0.2, waiting=waiting)
        return (await pod.log.state.request_lease(asked, 60)).is_granted

    async with following(pod):
        await redis.hset(DEFAULT.state, "until", 0)
        await redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(ResponseError):
                await is_granted("old.1", 100)
        finally:
            await redis.config_set("maxmemory", "0")
        assert not await is_granted("young.1", 50)
        assert not await is_granted("old.1", 100)
        await eventually(lambda: is_granted("old.1", 100), PATIENCE_SECONDS, "the older records")


async def test_a_lease_is_renewed_by_appending_and_released_by_nobody_else(redis: Redis) -> None:
    pod = Pod(redis)

    async def is_granted(lease_id: str) -> bool:
        return (await pod.log.state.request_lease(candidacy(lease_id), 0.5)).is_granted

    async with following(pod):
        assert await is_granted("a.1")
        async with pod.log.open_appender("a.1") as appender:
            assert await appender.renewed(60, b"tick:7")
        await asyncio.sleep(0.6)  # the first lease would be over
        await pod.log.state.release("b.1")
        reply = await pod.log.state.request_lease(candidacy("b.1"), 60)
        assert (reply.is_granted, reply.recorded_position, reply.epoch) == (
            False,
            b"tick:7",
            pod.log.epoch,
        )
        await pod.log.state.release("a.1")
        assert await is_granted("b.1")
        await eventually(lambda: is_granted("c.1"), PATIENCE_SECONDS, "a dead one's lease ends")


async def test_who_has_missed_something_lets_the_others_go_first(redis: Redis) -> None:
    pod = Pod(redis)

    async def is_granted(lease_id: str, waiting: float, patience: float = 0.2) -> bool:
        asked = candidacy(lease_id, patience=patience, waiting=waiting)
        return (await pod.log.state.request_lease(asked, 60)).is_granted

    async with following(pod):
        assert await is_granted("dead.1", 1, patience=0)
        await pod.log.state.release("dead.1")
        assert not await is_granted("young.1", 1)
        assert not await is_granted("old.1", 100)
        await asyncio.sleep(0.3)
        assert not await is_granted("young.1", 1), "the one that waits longest comes first"
        assert await is_granted("old.1", 100)
        await pod.log.state.release("old.1")
        assert await is_granted("whole.1", 1, patience=0), "and nobody waits who missed nothing"


async def test_a_senior_that_has_gone_is_not_waited_for_long(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod):
        assert not (
            await pod.log.state.request_lease(candidacy("old.1", patience=60, waiting=100), 5)
        ).is_granted

        async def young_takes_it() -> bool:
            asked = candidacy("young.1", patience=0.1, waiting=1)
            return (await pod.log.state.request_lease(asked, 5)).is_granted

        await eventually(young_takes_it, PATIENCE_SECONDS, "the young one takes over")


async def test_candidates_that_have_waited_for_as_long_do_not_keep_each_other_waiting(
    redis: Redis,
) -> None:
    """Some questions are under way for longer, so each in turn seems to have waited longest."""
    pod, began, rounds = Pod(redis), time.monotonic(), itertools.count()

    async def one_is_granted() -> bool:
        delays = (0, 0.05) if next(rounds) % 2 else (0.05, 0)
        for name, delay in zip(("a.1", "b.1"), delays, strict=True):
            waiting = time.monotonic() - began + 1 - delay
            asked = candidacy(name, patience=1, waiting=waiting)
            if (await pod.log.state.request_lease(asked, 5)).is_granted:
                return True
        return False

    async with following(pod):
        await eventually(one_is_granted, PATIENCE_SECONDS, "one of them records")


@pytest.mark.parametrize(
    ("delivered", "away_seconds", "new_after"),
    [
        pytest.param((8, 0), 9, (7, 4), id="IDs that were delivered before come again"),
        pytest.param((7, 6), 9, (7, 4), id="and one of them is the last that was delivered"),
        pytest.param((7, 2), 9, (7, 2), id="some of the former epoch were not delivered yet"),
        pytest.param((8, 0), 3, (7, 9), id="the epoch was known, and the log went back"),
        pytest.param((7, 6), 3, (7, 6), id="the epoch was known, and the log goes on"),
    ],
)
def test_all_of_an_epoch_is_new_to_who_was_away_when_it_began(
    delivered: LogId, away_seconds: float, new_after: LogId
) -> None:
    look = Look("2-b", (7, 4), "rolled_back", (7, 4), (7, 9), True, "", 5, "run", "run")
    assert look.new_after(delivered, away_seconds) == new_after


async def test_a_clock_that_was_set_back_does_not_prolong_a_dead_lease(redis: Redis) -> None:
    pod = Pod(redis)
    async with following(pod):
        assert (await pod.log.state.request_lease(candidacy("a.1"), 5)).is_granted
        in_a_day = (await redis.time())[0] * 1000 + 86_400_000
        await redis.hset(DEFAULT.state, "until", str(in_a_day))
        assert (await pod.log.state.request_lease(candidacy("b.1"), 5)).is_granted


async def test_more_partitions_are_used_once_all_living_pods_follow_so_many(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        state = one.log.state
        assert (await state.request_lease(candidacy("a.1"), 60)).partitions == 1
        await show_pod(redis, "a")
        await redis.zadd(DEFAULT.followers, {"3 a": 4_000_000_000})
        await show_pod(redis, "b")
        assert await state.widen("a.1", 3) == 1
        assert not await redis.hexists(DEFAULT.state, "widens")
        await redis.zadd(DEFAULT.followers, {"4 b": 4_000_000_000})
        assert await state.widen("a.1", 3) == 1
        await redis.hset(DEFAULT.state, "widens", "1")
        assert await state.widen("b.1", 3) == 1
        assert await state.widen("a.1", 3) == 3
        assert (await state.request_lease(ONLY_ASKING, 60)).partitions == 3
        assert await state.widen("a.1", 2) == 3


async def test_a_number_of_partitions_that_redis_has_lost_is_written_by_who_knows_it(
    redis: Redis,
) -> None:
    one = Pod(redis)
    async with following(one):
        state = one.log.state
        asked = await state.request_lease(candidacy("a.1"), 60, partitions=3)
        assert (asked.is_granted, asked.partitions) == (True, 3)
        assert (await state.request_lease(ONLY_ASKING, 60)).partitions == 3
        assert (await state.request_lease(ONLY_ASKING, 60, partitions=2)).partitions == 3
        await redis.delete(DEFAULT.state)
        assert (await state.request_lease(ONLY_ASKING, 60, partitions=3)).epoch == ""
        assert not await redis.exists(DEFAULT.state), "a log without an epoch has none"


async def test_who_only_asks_is_told_whether_the_lease_is_free(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        state = one.log.state
        assert (await state.request_lease(ONLY_ASKING, 60)).is_free
        assert not (await state.request_lease(candidacy("a.1"), 60)).is_free
        assert not (await state.request_lease(ONLY_ASKING, 60)).is_free
        await state.release("a.1")
        assert (await state.request_lease(ONLY_ASKING, 60)).is_free
