"""Pods that follow a log, for tests on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.appender import Appender
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.state import Candidacy
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import PLENTY_OF_BYTES, Follower, make_log
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

_FAR = 4_000_000_000
"""Seconds: until then a pod lives."""


class Pod:
    """A log with what it handed over."""

    def __init__(self, redis: Redis, received: int = 0) -> None:
        """So many messages have been received from Pub/Sub, behind the tick `tick`."""
        self.metrics = Metrics()
        self.unrecorded = Unrecorded(b"pod", PLENTY_OF_BYTES)
        self.unrecorded.tick(b"tick")
        for number in range(received):
            self.unrecorded.receive(b"chat:new", b"%d" % number)
        self.log = make_log(redis, self.metrics, self.unrecorded)
        self.follower = Follower()

    @property
    def heard(self) -> list[bytes]:
        return self.follower.payloads

    @property
    def gaps(self) -> list[str]:
        return self.follower.gaps

    def is_following(self) -> bool:
        return self.log.following.disconnected_at is None

    def is_current(self) -> bool:
        return self.log.epoch is not None


@asynccontextmanager
async def following(*pods: Pod) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.log.run(one.follower)) for one in pods]
    try:
        for one in pods:
            await eventually(one.is_current, PATIENCE_SECONDS, "it follows")
        yield
    finally:
        await cancelled(tasks)


def candidacy(lease_id: str, *, patience: float = 0, waiting: float = 10) -> Candidacy:
    return Candidacy(lease_id, lease_id.partition(".")[0], patience, waiting)


@asynccontextmanager
async def appending(pod: Pod) -> AsyncIterator[Appender]:
    """Hold the lease for a pod that follows."""
    assert (await pod.log.state.request_lease(candidacy("a.1"), 5)).is_granted
    async with pod.log.open_appender("a.1") as appender:
        yield appender


async def append(appender: Appender, *indexes: int) -> None:
    """Append messages of these places behind the tick, and wait for the answer."""
    done = asyncio.Event()
    appender.append([received(index) for index in indexes], lambda _: done.set())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await done.wait()


async def show_pod(redis: Redis, instance: str, *, reads: bool = True) -> None:
    """Let a pod live for long, one that reads packed entries or one of an earlier release."""
    if reads:
        await redis.zadd(DEFAULT.readers, {instance: _FAR})
    await redis.zadd(DEFAULT.pods, {instance: _FAR})


async def may_pack(redis: Redis, appender: Appender) -> None:
    """Let the log have been marked for long, and the appender know."""
    gone: Any = await redis.hget(DEFAULT.state, "removed")
    mark: Any = {"removed": "packed 1", "gone": gone, "packing": "1"}
    await redis.hset(DEFAULT.state, mapping=mark)
    appender.permit_packing(True)


async def produced(redis: Redis, count: int) -> None:
    """Append entries as producers do."""
    for number in range(count):
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": str(number)})


def received(index: int) -> Received:
    return Received(b"tick", index, b"chat:new", b"%d" % index)


async def ended(appender: Appender) -> None:
    """Wait until appending is over, and raise why; soon, since an append was answered."""
    async with asyncio.timeout(PATIENCE_SECONDS / 5):
        await appender.disconnected()


async def founded(pod: Pod) -> None:
    """Let a log that is there have its state."""
    async with following(pod):
        pass
