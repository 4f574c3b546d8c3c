"""Pods for tests of the bus: what each was handed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import Listener
from tests.waiting import PATIENCE_SECONDS, eventually

VOLATILE = "chat:typing"
CHANNELS = ("chat:new", "chat:newMessage", VOLATILE)


class Pod:
    """A bus with what it was handed."""

    def __init__(self, redis: Redis, emitters: EmitterChannels = DEFAULT_EMITTERS) -> None:
        self.metrics = Metrics()
        self.bus = RedisBus(
            redis, CHANNELS, self.metrics, DEFAULT, emitters, asks_run_id=True,
            volatile=[VOLATILE],
        )  # fmt: skip
        self.listener = Listener()

    @property
    def heard(self) -> list[Published]:
        return [message for batch in self.listener.batches for message in batch]

    def reconnects(self, reason: str) -> float:
        value: float = self.metrics.redis_reconnects.labels(reason)._value.get()
        return value

    def malformed(self) -> float:
        value: float = self.metrics.commands.labels("malformed")._value.get()
        return value

    @property
    def stands(self) -> bool:
        return self.bus.disconnected_at is None


@asynccontextmanager
async def running(*pods: Pod, beating: bool = True) -> AsyncIterator[None]:
    """Let pods subscribe and send heartbeats; what ends by itself is an error."""
    works = [pod.bus.run(pod.listener) for pod in pods]
    works += [pod.bus.beat() for pod in pods if beating]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await ended(tasks)
        assert [task for task in tasks if not task.cancelled()] == []


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they have ended.

    Python 3.11 lets `wait_for`, in which redis-py sends, swallow a cancellation that comes late.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


async def standing(*pods: Pod) -> None:
    await eventually(
        lambda: all(pod.stands for pod in pods), PATIENCE_SECONDS, "the subscriptions stand"
    )
