"""Nothing is called complete but by a look at the log that began after the question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from constellation_ws.log.confirmation import LogConfirmation
from constellation_ws.log.ids import LogId
from constellation_ws.log.state import LogState, Look
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import produce, trim
from tests.unit.log.log_pods import Pod, following
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


@asynccontextmanager
async def confirming(pod: Pod) -> AsyncIterator[LogConfirmation]:
    confirmation = LogConfirmation(pod.log)
    task = asyncio.create_task(confirmation.run())
    async with following(pod):
        yield confirmation
    await cancelled([task])


async def test_a_log_that_has_just_been_deleted_is_not_confirmed(redis: Redis) -> None:
    """Nobody else looks: no pod records, and none has lost its connection."""
    one, recorder = Pod(redis), Pod(redis)
    async with following(recorder):
        await produce(redis, "c", b"1")
        await trim(recorder.log, 3_600, 1_000)
    async with confirming(one) as confirmation:
        epoch = (await confirmation.confirmed()).epoch
        await redis.delete(DEFAULT.log)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await confirmation.confirmed()).epoch != epoch
        await eventually(lambda: one.gaps, PATIENCE_SECONDS, "its clients are told")


async def test_many_share_a_look(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    pod, looks = Pod(redis), 0
    look = LogState.look

    async def count(self: LogState, delivered: LogId) -> Look:
        nonlocal looks
        looks += 1
        return await look(self, delivered)

    async with confirming(pod) as confirmation:
        monkeypatch.setattr(LogState, "look", count)
        found = await asyncio.gather(*(confirmation.confirmed() for _ in range(500)))
        assert set(found) == {(pod.log.epoch, pod.log.delivered)}
        assert looks <= 2


async def test_what_redis_refuses_is_raised_and_the_next_look_is_another(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: LogState, delivered: LogId) -> Look:
        raise RedisError("no")

    pod = Pod(redis)
    async with confirming(pod) as confirmation:
        with monkeypatch.context() as patched:
            patched.setattr(LogState, "look", refuse)
            with pytest.raises(RedisError, match="no"):
                await confirmation.confirmed()
        assert (await confirmation.confirmed()).epoch == pod.log.epoch


async def test_a_look_that_hangs_does_not_hold_up_the_next(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: LogState, delivered: LogId) -> Look:
        await asyncio.Event().wait()
        raise AssertionError("it never ends")

    pod = Pod(redis)
    async with confirming(pod) as confirmation:
        with monkeypatch.context() as patched:
            patched.setattr(LogState, "look", hang)
            patched.setattr("constellation_ws.log.confirmation._LOOK_SECONDS", 0.05)
            with pytest.raises(TimeoutError):
                await confirmation.confirmed()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await confirmation.confirmed()).epoch == pod.log.epoch
