"""Recorders on a real Valkey: one writes, the next goes on where it stopped, nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log.ids import LogId
from constellation_ws.log.state import Look
from constellation_ws.recording import batching, lease, retiring
from constellation_ws.recording import recorder as recording
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io import bus
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import Valkey
from tests.unit.recording.recording_pods import (
    CHANNEL,
    Pod,
    is_recorded,
    one_records,
    pods,
    recorded,
)
from tests.waiting import PATIENCE_SECONDS, eventually


async def test_what_is_published_is_in_the_log_once_and_in_order(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 3) as three:
        for number in range(200):
            await redis.publish(CHANNEL, str(number))
        await is_recorded(redis, 200)
        assert sum(pod.records() for pod in three) == 1


async def test_as_many_as_came_together_before_are_not_waited_with(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "GATHER_SECONDS", 10 * PATIENCE_SECONDS)
    async with pods(valkey, 1):
        for number in range(5):
            await redis.publish(CHANNEL, str(number))
            await is_recorded(redis, number + 1)


async def test_fewer_than_usual_are_waited_with_for_a_moment(valkey: Valkey, redis: Redis) -> None:
    async with pods(valkey, 1) as (pod,):
        pod.recorder._queue._batching.appended(1_000, 0, 0.0)
        for number in range(5):
            await redis.publish(CHANNEL, str(number))
            await is_recorded(redis, number + 1)


def test_a_dead_recorder_is_replaced_within_three_seconds() -> None:
    assert lease.LEASE_SECONDS + recording.POLL_SECONDS <= 3


async def test_a_retiring_recorder_hands_over_at_once_and_nothing_is_lost_or_doubled(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lease, recording):  # nobody waits for it
        monkeypatch.setattr(module, "LEASE_SECONDS", 10 * PATIENCE_SECONDS)
    async with pods(valkey, 3) as three:
        for round_ in range(2):
            (recorder,) = [pod for pod in three if pod.records()]
            for number in range(round_ * 50, round_ * 50 + 50):
                await redis.publish(CHANNEL, str(number))
                if number == round_ * 50 + 25:
                    await recorder.retire()
            others = [pod for pod in three if pod is not recorder]
            await eventually(partial(one_records, others), PATIENCE_SECONDS, "another records")
            await is_recorded(redis, round_ * 50 + 50)
            assert not recorder.records()


async def test_a_pod_that_retires_has_recorded_first_what_only_it_has_received(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 2) as two:
        (recorder,) = [pod for pod in two if pod.records()]
        (other,) = [pod for pod in two if pod is not recorder]
        await recorder.stop()
        for number in range(10):
            await redis.publish(CHANNEL, str(number))
        await eventually(
            lambda: other.recorder.unrecorded_events == 10, PATIENCE_SECONDS, "it has all"
        )
        await other.retire()
        assert await recorded(redis) == list(range(10))


@pytest.mark.parametrize("is_covered", [True, False], ids=["another has it", "nobody has it"])
async def test_what_a_pod_leaves_unrecorded_is_recorded_by_who_has_it_or_reported(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_covered: bool
) -> None:
    """Redis is full while the pods are replaced."""
    monkeypatch.setattr(retiring, "_RETIRE_SECONDS", 0.1)
    monkeypatch.setattr(recording, "ANSWER_SECONDS", 0.5)
    async with pods(valkey, 2 if is_covered else 1) as former:
        leaving = former[0]
        epoch = leaving.log.epoch
        await redis.config_set("maxmemory", "1")
        try:
            for number in range(10):
                await redis.publish(CHANNEL, str(number))
            for pod in former:
                have_all = partial(_has, pod, 10)
                await eventually(have_all, PATIENCE_SECONDS, "it has all")
            fresh = Pod(valkey.url)
            fresh.start()
            await eventually(fresh.listens, PATIENCE_SECONDS, "it listens")
            await leaving.retire()
            await leaving.stop()
            await eventually(lambda: fresh.told, PATIENCE_SECONDS, "it was told")
        finally:
            await redis.config_set("maxmemory", "0")
        if is_covered:
            await is_recorded(redis, 10)
            assert fresh.log.epoch == epoch
            assert fresh.follower.gaps == []
        else:
            await eventually(
                lambda: fresh.follower.gaps == ["interrupted"],
                PATIENCE_SECONDS,
                "the gap is reported",
            )
            assert fresh.log.epoch != epoch
        await fresh.stop()


async def test_the_last_pod_reports_what_it_leaves_unrecorded(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that has just started does, and is stopped before it may record."""
    monkeypatch.setattr(retiring, "_RETIRE_SECONDS", 0.1)
    monkeypatch.setattr(recording, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(PodSeat, "may_record", False)
    pod = Pod(valkey.url)
    try:
        pod.start()
        await eventually(pod.listens, PATIENCE_SECONDS, "it listens")
        epoch = pod.log.epoch
        assert await redis.publish(CHANNEL, "0")
        await eventually(partial(_has, pod, 1), PATIENCE_SECONDS, "it has received it")
        await pod.retire()
    finally:
        await pod.stop()
    found: Any = await redis.hmget(DEFAULT.state, ["epoch", "reason"])
    assert found[0].decode() != epoch
    assert found[1] == b"interrupted"


async def test_a_pod_that_retires_has_written_first_what_it_knows_of_a_loss(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pods(valkey, 2) as (leaving, other):
        replace = leaving.log.state.replace

        async def replace_slowly(*words: Any, **named: Any) -> None:
            await asyncio.sleep(0.3)
            await replace(*words, **named)

        monkeypatch.setattr(leaving.log.state, "replace", replace_slowly)
        leaving.log.lose("interrupted", 1)
        await leaving.retire()
        await leaving.stop()
        await eventually(
            lambda: other.follower.gaps == ["interrupted"], PATIENCE_SECONDS, "the gap is reported"
        )


def _has(pod: Pod, count: int) -> bool:
    return pod.recorder.unrecorded_events == count


async def test_a_recorder_that_dies_is_replaced_and_its_successor_knows_what_is_missing(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 2) as two:
        (recorder,) = [pod for pod in two if pod.records()]
        for number in range(20):
            await redis.publish(CHANNEL, str(number))
        await recorder.stop()
        for number in range(20, 40):
            await redis.publish(CHANNEL, str(number))
        await is_recorded(redis, 40)


async def test_what_emitters_publish_is_recorded_in_its_place_also_by_a_successor(
    valkey: Valkey, redis: Redis
) -> None:
    async def publish(number: int) -> None:
        channel = (CHANNEL, "socket.io#/chats#", f"socket.io#/chats#user:{number}#")[number % 3]
        await redis.publish("socket.io#/others#", "not for us, and without a position")
        await redis.publish(channel, str(number))

    async with pods(valkey, 2) as two:
        (recorder,) = [pod for pod in two if pod.records()]
        for number in range(30):
            await publish(number)
        await recorder.stop()
        for number in range(30, 60):
            await publish(number)
        await is_recorded(redis, 60)


async def test_a_recorder_that_missed_something_leaves_it_to_one_that_did_not(
    valkey: Valkey, redis: Redis
) -> None:
    """Its subscription breaks; what is published until it is back, the other pod has heard."""
    async with pods(valkey, 2) as two:
        for number in range(30):
            await redis.publish(CHANNEL, str(number))
            if number == 10:
                (recorder,) = [pod for pod in two if pod.records()]
                first, second = sorted(
                    await redis.client_list(_type="pubsub"), key=lambda line: int(line["id"])
                )
                its_line = first if recorder is two[0] else second
                await redis.client_kill_filter(_id=its_line["id"])
        await is_recorded(redis, 30)
        (other,) = [pod for pod in two if pod is not recorder]
        await eventually(other.records, PATIENCE_SECONDS, "the other one records now")


async def test_a_recorder_whose_subscription_brings_nothing_any_more_is_replaced(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection for appends works, and nobody has closed the other one: a black hole."""
    monkeypatch.setattr(bus, "SILENCE_SECONDS", 1_000 * PATIENCE_SECONDS)
    async with pods(valkey, 2) as two:
        await redis.publish(CHANNEL, "0")
        await is_recorded(redis, 1)
        (recorder,) = [pod for pod in two if pod.records()]
        (other,) = [pod for pod in two if pod is not recorder]
        held: Any = recorder.bus._current
        held._link._transport.pause_reading()
        await redis.publish(CHANNEL, "1")
        await is_recorded(redis, 2)
        assert other.records()
        await eventually(
            lambda: recorder.unrecorded.is_positioned and not recorder.recorder.unrecorded_events,
            PATIENCE_SECONDS,
            "the first one is subscribed again",
        )


async def test_commands_are_obeyed_by_every_pod_and_not_recorded(
    valkey: Valkey, redis: Redis
) -> None:
    async with pods(valkey, 2) as two:
        await redis.publish(DEFAULT.commands, b"{}")
        await eventually(lambda: all(pod.told for pod in two), PATIENCE_SECONDS, "both were told")
        assert await recorded(redis) == []


async def test_the_recorder_learns_of_a_loss_that_another_pod_has_found(valkey: Valkey) -> None:
    """Else its sessions would go on as if nothing were missing, and be resumed so."""
    async with pods(valkey, 2) as two:
        recorder = next(pod for pod in two if pod.records())
        other = next(pod for pod in two if pod is not recorder)
        other.log.lose("passed_over", 1)
        await eventually(
            lambda: [pod.follower.gaps for pod in two] == [["passed_over"]] * 2,
            PATIENCE_SECONDS,
            "the clients of both are told",
        )
        assert recorder.records()
        assert recorder.log.epoch == other.log.epoch


async def test_what_the_recorder_appends_while_it_looks_at_the_log_is_delivered_once(
    valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pods(valkey, 1) as (pod,):
        look, numbers = pod.log.state.look, itertools.count()

        async def look_slowly(delivered: LogId) -> Look:
            found = await look(delivered)
            await redis.publish(CHANNEL, str(next(numbers)))
            await eventually(
                lambda: pod.log.delivered > found.last, PATIENCE_SECONDS, "it was appended"
            )
            return found

        monkeypatch.setattr(pod.log.state, "look", look_slowly)
        pod.log.lose("passed_over", 1)
        await eventually(lambda: pod.follower.gaps, PATIENCE_SECONDS, "its clients are told")
        await redis.publish(CHANNEL, "after")
        await eventually(lambda: b"after" in pod.follower.payloads, PATIENCE_SECONDS, "it goes on")
        appended = [str(number).encode() for number in range(next(numbers))]
        assert pod.follower.payloads == [*appended, b"after"]


async def test_what_is_volatile_is_carried_out_at_once_and_not_recorded(valkey: Valkey) -> None:
    pod = Pod(valkey.url, volatile=frozenset([CHANNEL.encode()]))
    pod.start()
    try:
        await eventually(pod.listens, PATIENCE_SECONDS, "it is subscribed")
        await pod.bus.publisher.publish(CHANNEL, b"here")
        expected = [(CHANNEL.encode(), b"here")]
        await eventually(lambda: pod.told == expected, PATIENCE_SECONDS, "it is carried out")
        assert pod.recorder.unrecorded_events == 0
        await eventually(pod.records, PATIENCE_SECONDS, "it records")
        entries: Any = await pod.redis.xrange(DEFAULT.log)
        assert all(b"here" not in fields.values() for _, fields in entries)
    finally:
        await pod.stop()
