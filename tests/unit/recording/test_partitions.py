"""Several partitions, each with recorders of its own, on a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from constellation_ws.log import state
from constellation_ws.recording.width import TooFewPartitions
from constellation_ws.redis_io.names import DEFAULT
from tests.partitions import Publishing, of_partition
from tests.processes import Valkey
from tests.unit.recording.recording_pods import Pod
from tests.waiting import PATIENCE_SECONDS, eventually

COUNT = 3
_FAR = 4_000_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let more partitions be used soon after all pods follow them."""
    monkeypatch.setattr(state, "_FOLLOWED_SECONDS", 1.0)


def make_pod(valkey: Valkey, partitions: int) -> Pod:
    return Pod(valkey.url, listeners=100, partitions=partitions, max_events=100_000)


async def alive(redis: Redis, pod: Pod) -> None:
    """Show that a pod lives, as its presence would."""
    if pod.width.most > 1:
        await redis.zadd(DEFAULT.followers, {f"{pod.width.most} {pod.bus.instance}": _FAR})
    await redis.zadd(DEFAULT.pods, {pod.bus.instance: _FAR})


async def gone(redis: Redis, pod: Pod) -> None:
    await redis.zrem(DEFAULT.pods, pod.bus.instance)


@asynccontextmanager
async def running(valkey: Valkey, redis: Redis, *partitions: int) -> AsyncIterator[list[Pod]]:
    """As many pods, each with so many partitions."""
    made = [make_pod(valkey, count) for count in partitions]
    try:
        for pod in made:
            await start(redis, pod)
        yield made
    finally:
        for pod in made:
            await pod.stop()


async def leave(redis: Redis, pod: Pod) -> None:
    """Stop a pod in an orderly way."""
    await pod.retire()
    await gone(redis, pod)
    await pod.stop()


def gaps(pods: Sequence[Pod]) -> list[str]:
    return [gap for pod in pods for *_, follower in pod.stacks for gap in follower.gaps]


async def start(redis: Redis, pod: Pod) -> None:
    await alive(redis, pod)
    pod.start()
    await eventually(pod.listens, PATIENCE_SECONDS, "it listens")


def held(pods: Sequence[Pod]) -> list[int]:
    """How many leases each pod holds."""
    return [sum(one.holds_lease for one in pod.recorders) for pod in pods]


async def all_recorded(pods: Sequence[Pod], count: int = COUNT) -> None:
    def is_so() -> bool:
        widths = {pod.partitioning.width for pod in pods}
        return sum(held(pods)) == count and widths == {count}

    await eventually(is_so, 2 * PATIENCE_SECONDS, f"{count} partitions have recorders")


async def spread(pods: Sequence[Pod]) -> None:
    most = -(-COUNT // len(pods))

    def is_so() -> bool:
        return sum(held(pods)) == COUNT and max(held(pods)) <= most

    await eventually(is_so, 2 * PATIENCE_SECONDS, "leases are spread")


async def logs(redis: Redis, count: int = COUNT) -> list[list[tuple[int, int]]]:
    """Chat and number of each event, by partition."""
    found = []
    for number in range(count):
        entries: Any = await redis.xrange(DEFAULT.of_partition(number).log)
        events = [json.loads(fields[b"data"]) for _, fields in entries]
        found.append([(event["chatId"], event["number"]) for event in events])
    return found


async def is_recorded(publishing: Publishing, redis: Redis) -> None:
    """Wait until all that was published is in the logs, and see that it is there once."""

    async def all_is_there() -> bool:
        found = {one for log in await logs(redis) for one in log}
        return found >= set(publishing.sent)

    with contextlib.suppress(AssertionError):  # the comparison says more
        await eventually(all_is_there, PATIENCE_SECONDS, "all events are in the logs")
    counts = Counter(one for log in await logs(redis) for one in log)
    assert counts == Counter(publishing.sent)


async def test_each_event_is_once_and_in_order_in_the_log_of_its_chat(
    valkey: Valkey, redis: Redis
) -> None:
    async with running(valkey, redis, COUNT, COUNT, COUNT) as pods:
        await all_recorded(pods)
        publishing = Publishing(redis)
        await publishing.some(300)
        await is_recorded(publishing, redis)
        for number, log in enumerate(await logs(redis)):
            assert log == of_partition(publishing.sent, number, COUNT)
            assert log
        assert gaps(pods) == []


async def test_leases_are_spread_and_a_killed_recorder_is_replaced(
    valkey: Valkey, redis: Redis
) -> None:
    async with running(valkey, redis, COUNT, COUNT, COUNT) as pods:
        await all_recorded(pods)
        await spread(pods)
        publishing = Publishing(redis)
        async with publishing.going_on():
            await publishing.more(40)
            await pods[0].stop()
            await gone(redis, pods[0])
            await all_recorded(pods[1:])
            await publishing.more(40)
        await is_recorded(publishing, redis)
        assert gaps(pods) == []


async def test_a_pod_that_comes_later_gets_its_share(valkey: Valkey, redis: Redis) -> None:
    async with running(valkey, redis, COUNT) as (first,):
        await all_recorded([first])
        publishing = Publishing(redis)
        async with publishing.going_on(), running(valkey, redis, COUNT, COUNT) as others:
            await spread([first, *others])
            for pod in others:
                await pod.retire()
                await gone(redis, pod)
            await all_recorded([first])
        await is_recorded(publishing, redis)


async def test_more_partitions_are_used_when_the_last_pod_with_fewer_has_gone(
    valkey: Valkey, redis: Redis
) -> None:
    publishing = Publishing(redis)
    async with running(valkey, redis, 1, 1) as old, running(valkey, redis, COUNT, COUNT) as new:
        async with publishing.going_on():
            for pod in old:
                await leave(redis, pod)
            await all_recorded(new)
            await publishing.more(100)
        await is_recorded(publishing, redis)
        assert gaps(new) == []
        assert all(await logs(redis))


async def test_a_pod_that_starts_while_it_changes_divides_as_the_others_do(
    valkey: Valkey, redis: Redis
) -> None:
    publishing = Publishing(redis)
    async with running(valkey, redis, COUNT, COUNT) as pods:
        fresh: list[Pod] = []
        async with publishing.going_on():
            while {pod.partitioning.width for pod in pods} != {COUNT}:
                fresh.append(make_pod(valkey, COUNT))
                await start(redis, fresh[-1])
            await all_recorded([*pods, *fresh])
            await spread([*pods, *fresh])
            assert gaps([*pods, *fresh]) == []
            for pod in fresh:
                await leave(redis, pod)
            await all_recorded(pods)
        await is_recorded(publishing, redis)
        assert gaps(pods) == []


async def test_a_pod_with_fewer_partitions_than_are_used_ends(valkey: Valkey, redis: Redis) -> None:
    async with running(valkey, redis, COUNT) as pods:
        await all_recorded(pods)
        pod = make_pod(valkey, 2)
        pod.start()
        try:
            with pytest.raises(TooFewPartitions, match="set it to 3 or more, on all pods"):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await pod.tasks[-2]
        finally:
            pod.tasks = [task for task in pod.tasks if not task.done()]
            await pod.stop()


async def test_a_dead_subscription_of_one_pod_loses_nothing(valkey: Valkey, redis: Redis) -> None:
    async with running(valkey, redis, COUNT, COUNT) as pods:
        await all_recorded(pods)
        publishing = Publishing(redis)
        async with publishing.going_on():
            for pod in pods:
                listed = await redis.client_list(_type="pubsub")
                await redis.client_kill_filter(_id=listed[0]["id"])
                await publishing.more(100)
                await all_recorded(pods)
                assert pod.partitioning.width == COUNT
        await is_recorded(publishing, redis)
        assert gaps(pods) == []


@pytest.mark.parametrize("count", [1, 2])
async def test_the_number_of_partitions_is_written_again_where_redis_has_lost_it(
    valkey: Valkey, redis: Redis, count: int
) -> None:
    async with running(valkey, redis, *[COUNT] * count) as pods:
        await all_recorded(pods)
        await redis.hdel(DEFAULT.state, "partitions")

        async def is_there() -> bool:
            return await redis.hget(DEFAULT.state, "partitions") == b"3"

        await eventually(partial(is_there), PATIENCE_SECONDS, "it is written again")


async def test_log_lines_name_the_partition_that_they_are_about(
    valkey: Valkey, redis: Redis
) -> None:
    async with running(valkey, redis, COUNT) as (pod,):
        await all_recorded([pod])
        with capture_logs() as lines:
            pod.stacks[1][0].lose("passed_over", 1)
            await eventually(lambda: gaps([pod]), PATIENCE_SECONDS, "the gap is reported")
    found = {line["event"]: line.get("partition") for line in lines}
    assert found["received events could not be recorded"] == 1
    assert found["gap in the log"] == 1
