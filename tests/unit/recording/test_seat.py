"""Few of many pods listen on a real Valkey; they are replaced, and nothing is lost in silence."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from constellation_ws.messages import commands
from constellation_ws.recording import recorder, retiring
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.redis_io.subscription import Subscription
from tests.partitions import Publishing, log_of
from tests.processes import Valkey
from tests.unit.recording.recording_pods import CHANNEL, Pod, is_recorded, pods, recorded
from tests.waiting import PATIENCE_SECONDS, eventually


def listeners(pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if pod.seat.is_listener]


async def listen(redis: Redis, pods: Sequence[Pod], count: int) -> None:
    """Wait until as many pods listen, as Redis and they themselves say."""

    async def is_so() -> bool:
        (_, subscribers), *_ = await redis.pubsub_numsub(CHANNEL)
        return subscribers == len(listeners(pods)) == count

    await eventually(is_so, PATIENCE_SECONDS, f"{count} pods listen")


def has_read(pod: Pod, payloads: list[bytes]) -> bool:
    return pod.follower.payloads == payloads


def is_told(pod: Pod, count: int) -> bool:
    return len(pod.told) >= count


def has_gap(pod: Pod) -> bool:
    return bool(pod.follower.gaps)


@asynccontextmanager
async def publishing(redis: Redis) -> AsyncIterator[list[int]]:
    """Publish numbers all the time; give those that a pod has received, as PUBLISH says."""
    sent: list[int] = []
    is_over = False

    async def publish() -> None:
        for number in itertools.takewhile(lambda _: not is_over, itertools.count()):
            if await redis.publish(CHANNEL, str(number)):
                sent.append(number)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(publish())
    try:
        yield sent
    finally:
        is_over = True  # a cancelled PUBLISH would be sent, and not be in the list
        await task


async def all_recorded(redis: Redis, sent: Sequence[int]) -> None:
    """Wait until what was sent is in the log, once and in order, and nothing else."""

    async def is_there() -> bool:
        return len(await recorded(redis)) >= len(sent)

    await eventually(is_there, PATIENCE_SECONDS, "all is in the log")
    assert await recorded(redis) == list(sent)


async def show(redis: Redis, pods: Sequence[Pod]) -> None:
    """Let pods be known to be alive, as presence does."""
    await redis.zadd(DEFAULT.pods, {pod.bus.instance: 4_000_000_000 for pod in pods})


async def test_only_as_many_listen_as_should_and_all_follow_the_log(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 4, listeners=2) as four:
        await listen(redis, four, 2)
        for number in range(100):
            await redis.publish(CHANNEL, str(number))
        await is_recorded(redis, 100)
        expected = [b"%d" % number for number in range(100)]
        for pod in four:
            await eventually(partial(has_read, pod, expected), PATIENCE_SECONDS, "all is read")
        assert any(pod.records() for pod in listeners(four))
        assert [pod.recorder.unrecorded_events for pod in four] == [0] * 4


async def test_with_as_many_pods_as_seats_all_listen(valkey: Valkey, redis: Redis) -> None:
    async with pods(valkey, 3) as three:
        await listen(redis, three, 3)
        await asyncio.sleep(1)
        assert len(listeners(three)) == 3


async def test_all_pods_receive_commands_and_what_is_volatile(valkey: Valkey, redis: Redis) -> None:
    made = [Pod(valkey.url, volatile=frozenset({b"chat:typing"}), listeners=1) for _ in range(3)]
    try:
        for pod in made:
            pod.start()
        await listen(redis, made, 1)
        assert await redis.publish("chat:typing", "{}") == 3
        command = commands.encode(commands.Handover(""))
        assert await redis.publish(DEFAULT.commands, command) == 3
        for pod in made:
            await eventually(partial(is_told, pod, 2), PATIENCE_SECONDS, "both are there")
            assert (b"chat:typing", b"{}") in pod.told
    finally:
        for pod in made:
            await pod.stop()


async def test_a_dead_recorder_is_replaced_by_a_listener_and_its_seat_by_another_pod(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 4, listeners=2) as four:
        await listen(redis, four, 2)
        async with publishing(redis) as sent:
            (dead,) = [pod for pod in four if pod.records()]
            await eventually(lambda: len(sent) > 20, PATIENCE_SECONDS, "events flow")
            await dead.stop()
            four.remove(dead)
            await listen(redis, four, 2)
            await eventually(lambda: any(pod.records() for pod in four), PATIENCE_SECONDS, "again")
        await all_recorded(redis, sent)
        assert [pod.follower.gaps for pod in four] == [[]] * 3


_AGE = """
local function later(time) return string.format('%.0f', time + 86400000) end
for _, field in ipairs({'listeners', 'begun'}) do
  local text = redis.call('HGET', KEYS[1], field)
  redis.call('HSET', KEYS[1], field, (string.gsub(text, string.rep('%d', 13), later)))
end
"""
"""Lets Redis' clock have been a day ahead when the seats were given and the epoch began."""


@pytest.mark.parametrize("is_set_back", [False, True], ids=["clock runs", "clock was set back"])
async def test_if_all_listeners_die_the_loss_is_reported_once(
    valkey: Valkey, redis: Redis, is_set_back: bool
) -> None:
    async with pods(valkey, 4, listeners=2) as four:
        await listen(redis, four, 2)
        async with publishing(redis):
            dead = listeners(four)
            await asyncio.gather(*(pod.stop() for pod in dead))
            if is_set_back:
                await cast("Any", redis.eval(_AGE, 1, DEFAULT.state))
            four[:] = [pod for pod in four if pod not in dead]
            await listen(redis, four, 2)
            for pod in four:
                await eventually(partial(has_gap, pod), PATIENCE_SECONDS, "the epoch has ended")
            await eventually(lambda: any(pod.records() for pod in four), PATIENCE_SECONDS, "again")
        await asyncio.sleep(1)
        assert [pod.follower.gaps for pod in four] == [["listener_died"]] * 2


async def test_a_pod_that_starts_after_all_others_have_died_goes_on(
    valkey: Valkey, redis: Redis
) -> None:
    """As it has been: nobody is left who could have missed something while connected."""
    async with pods(valkey, 1) as (dead,):
        await redis.publish(CHANNEL, "0")
        await is_recorded(redis, 1)
        await dead.stop()
    async with pods(valkey, 1) as (pod,):
        await redis.publish(CHANNEL, "1")
        await is_recorded(redis, 2)
        assert pod.follower.gaps == []


async def test_listeners_that_leave_together_wait_for_others(valkey: Valkey, redis: Redis) -> None:
    async with pods(valkey, 5, listeners=3) as five:
        await show(redis, five)
        await listen(redis, five, 3)
        async with publishing(redis) as sent:
            leaving = listeners(five)
            await redis.zrem(DEFAULT.pods, *(pod.bus.instance for pod in leaving))
            await asyncio.gather(*(pod.retire() for pod in leaving))
            for pod in leaving:
                await pod.stop()
                five.remove(pod)
            await listen(redis, five, 2)
            await eventually(lambda: any(pod.records() for pod in five), PATIENCE_SECONDS, "again")
        await all_recorded(redis, sent)
        assert [pod.follower.gaps for pod in five] == [[]] * 2


async def test_the_only_pod_waits_for_nobody(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retiring, "_RETIRE_SECONDS", 10 * PATIENCE_SECONDS)
    async with pods(valkey, 1) as (pod,):
        await show(redis, [pod])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await pod.retire()
        assert not await redis.hget(DEFAULT.state, "listeners")


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("partitions", [1, 3])
async def test_all_pods_may_leave_together_and_all_that_they_were_sent_is_recorded(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch, count: int, partitions: int
) -> None:
    for module, name in (
        (retiring, "_RETIRE_SECONDS"), (retiring, "_UNSUBSCRIBE_SECONDS"),
        (recorder, "ANSWER_SECONDS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, PATIENCE_SECONDS)  # the machine may be busy
    made = [Pod(valkey.url, partitions=partitions) for _ in range(count)]
    publishing = Publishing(redis)
    try:
        for pod in made:
            pod.start()
            await eventually(pod.listens, PATIENCE_SECONDS, "it listens")
        if partitions > 1:
            await redis.hset(DEFAULT.state, "partitions", str(partitions))
        await eventually(partial(_all_recorded, made, partitions), PATIENCE_SECONDS, "all record")
        async with publishing.as_long_as_somebody_listens():
            await publishing.more(50)
            await asyncio.gather(*(pod.retire() for pod in made))
        found = [await recorded_of(redis, number) for number in range(partitions)]
        assert sorted(itertools.chain(*found)) == [number for _, number in publishing.sent]
    finally:
        for pod in made:
            await pod.stop()


def _all_recorded(pods: Sequence[Pod], partitions: int) -> bool:
    return all(any(pod.recorders[one].holds_lease for pod in pods) for one in range(partitions))


async def recorded_of(redis: Redis, partition: int) -> list[int]:
    entries: Any = await redis.xrange(log_of(partition))
    return [json.loads(fields[b"data"])["number"] for _, fields in entries]


async def test_a_pod_that_leaves_takes_no_seat_any_more(valkey: Valkey, redis: Redis) -> None:
    async with pods(valkey, 3, listeners=2) as three:
        await listen(redis, three, 2)
        (leaving,) = [pod for pod in three if not pod.seat.is_listener]
        dead = listeners(three)
        await leaving.retire()
        await asyncio.gather(*(pod.stop() for pod in dead))
        seat = leaving.seat
        await eventually(lambda: seat._seats.others == 0, PATIENCE_SECONDS, "it knows of that")
        await seat._answered.wait()
        assert not leaving.seat.is_listener
        seats: Any = await redis.hget(DEFAULT.state, "listeners")
        assert leaving.bus.instance.encode() not in seats


@pytest.mark.parametrize("is_doubted", [False, True])
async def test_a_listener_whose_subscription_is_dead_when_it_leaves_says_so(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_doubted: bool
) -> None:
    async def hang(_: Subscription) -> None:
        await asyncio.Event().wait()

    async with pods(valkey, 2) as (leaving, other):
        if not is_doubted:
            monkeypatch.setattr(Subscription, "leave", hang)
        leaving.bus.is_doubted = is_doubted
        await leaving.retire()
        await eventually(lambda: is_told(other, 1), PATIENCE_SECONDS, "the other one is told")
        (_, told), *_ = other.told
        command = commands.decode(told)
        assert isinstance(command, commands.Handover)
        assert command.unrecorded == f"{leaving.bus.instance}~:0"


async def test_a_listener_that_was_replaced_while_it_was_frozen_returns(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 3, listeners=2) as three:
        await listen(redis, three, 2)
        (frozen,) = [pod for pod in listeners(three) if not pod.records()]
        frozen.tasks.pop().cancel()  # it asks no more, and receives as before
        await eventually(lambda: len(listeners(three)) == 3, PATIENCE_SECONDS, "one takes the seat")
        frozen.tasks.append(asyncio.create_task(frozen.recorder.run()))
        await listen(redis, three, 2)
        assert frozen.seat.is_listener, "it has listened for longer"
