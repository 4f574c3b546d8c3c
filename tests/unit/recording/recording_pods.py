"""Pods that record on a real Valkey, with what of a pod that takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.messages import commands
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import PLENTY_OF_BYTES, Follower, make_log
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

CHANNEL = "chat:new"


class Pod:
    """What of a pod records."""

    def __init__(
        self,
        url: str,
        max_bytes: int = PLENTY_OF_BYTES,
        volatile: frozenset[bytes] = frozenset(),
        listeners: int = 3,
    ) -> None:
        self.redis = make_client(url, retries=5)
        self.metrics = Metrics()
        live = [channel.decode() for channel in volatile]
        self.bus = RedisBus(
            self.redis, [CHANNEL, *live], self.metrics, asks_run_id=True, volatile=live
        )
        unrecorded = Unrecorded(self.bus.instance.encode(), max_bytes)
        self.log = make_log(self.redis, self.metrics, unrecorded)
        self.follower = Follower()
        self.told: list[Published] = []
        self.unrecorded = unrecorded
        self.seat = PodSeat(self.bus, self.log, unrecorded, listeners)
        self.recorder = Recorder(
            self.bus, self.log, unrecorded, self.seat, DEFAULT, self.metrics,
            window_seconds=60, max_events=1_000, volatile=volatile,
        )  # fmt: skip
        self.tasks: list[asyncio.Task[None]] = []

    def receive(self, batch: list[Published]) -> None:
        orders = self.recorder.receive(batch)
        if orders:
            self.told += orders
            for _, payload in orders:
                if b"handover" in payload:
                    command = commands.decode(payload)
                    assert isinstance(command, commands.Handover)
                    self.recorder.take_over(command)

    def interrupted(self, *, is_lossy: bool) -> None:
        self.recorder.interrupted(is_lossy=is_lossy)

    def change(self, *, listens: bool) -> None:
        self.recorder.change(listens=listens)

    def start(self) -> None:
        self.tasks = [
            asyncio.create_task(self.bus.run(self)),
            asyncio.create_task(self.log.run(self.follower)),
            asyncio.create_task(self.recorder.run()),
        ]

    async def stop(self) -> None:
        """End at once, as SIGKILL would: nothing is handed over."""
        await cancelled(self.tasks)
        self.tasks = []
        await self.redis.aclose()

    def listens(self) -> bool:
        return self.bus.disconnected_at is None and self.log.epoch is not None

    def records(self) -> bool:
        return self.recorder.holds_lease


@asynccontextmanager
async def pods(valkey: Valkey, count: int, listeners: int = 3) -> AsyncIterator[list[Pod]]:
    made = [Pod(valkey.url, listeners=listeners) for _ in range(count)]
    try:
        for pod in made:
            pod.start()
            await eventually(pod.listens, PATIENCE_SECONDS, "it listens")
        await eventually(partial(one_records, made), PATIENCE_SECONDS, "one records")
        yield made
    finally:
        for pod in made:
            await pod.stop()


def one_records(pods: list[Pod]) -> bool:
    return any(pod.records() for pod in pods)


async def recorded(redis: Redis) -> list[int]:
    entries: Any = await redis.xrange(DEFAULT.log)
    return [int(fields[b"data"]) for _, fields in entries]


async def is_recorded(redis: Redis, count: int) -> None:
    async def all_is_there() -> bool:
        return len(await recorded(redis)) >= count

    await eventually(all_is_there, PATIENCE_SECONDS, f"{count} events are in the log")
    assert await recorded(redis) == list(range(count))
