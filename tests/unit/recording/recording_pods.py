"""Pods that record on a real Valkey, with what of a pod that takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from redis.asyncio import Redis

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.interface.table import load
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.messages import commands
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recording.assignment import Assignment, FirstAssignment
from constellation_ws.recording.hold import Hold
from constellation_ws.recording.intake import Intake
from constellation_ws.recording.lease_share import LeaseShare
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recording.retiring import retire
from constellation_ws.recording.seat import PodSeat
from constellation_ws.recording.width import Width
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import PLENTY_OF_BYTES, Follower, make_log
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

CHANNEL = "chat:new"


class Pod:
    """What of a pod records. Its first partition is that of most tests."""

    def __init__(
        self,
        url: str,
        max_bytes: int = PLENTY_OF_BYTES,
        volatile: frozenset[bytes] = frozenset(),
        listeners: int = 3,
        partitions: int = 1,
        max_events: int = 1_000,
    ) -> None:
        self.redis = make_client(url, retries=5)
        self.metrics = Metrics()
        live = [channel.decode() for channel in volatile]
        self.bus = RedisBus(
            self.redis, [CHANNEL, *live], self.metrics, asks_run_id=True, volatile=live,
            partitions=partitions,
        )  # fmt: skip
        self.told: list[Published] = []
        self.partitioning = Partitioning(load().routes)
        self.width = Width(self.partitioning, partitions)
        self.share, hold = LeaseShare(self.partitioning), Hold(self.width)
        self.stacks = [self._make_stack(number, max_bytes) for number in range(partitions)]
        self.log, self.unrecorded, self.follower = self.stacks[0]
        self.seats = [
            PodSeat(self.bus, log, unrecorded, listeners, self.log.state)
            for log, unrecorded, _ in self.stacks
        ]
        assignments = [
            FirstAssignment(self.bus, self.width, self.share, hold),
            *(Assignment(one, self.bus, self.width, self.share) for one in range(1, partitions)),
        ]
        self.recorders = [
            Recorder(
                self.bus, log, unrecorded, seat, assignment, self.metrics,
                window_seconds=60, max_events=max_events,
            )
            for (log, unrecorded, _), seat, assignment in zip(
                self.stacks, self.seats, assignments, strict=True
            )
        ]  # fmt: skip
        self.recorder, self.seat = self.recorders[0], self.seats[0]
        self.intake = Intake(DEFAULT, self.recorders, self.width, hold, volatile)
        self.tasks: list[asyncio.Task[None]] = []

    def _make_stack(self, number: int, max_bytes: int) -> tuple[RedisLog, Unrecorded, Follower]:
        unrecorded = Unrecorded(self.bus.instance.encode(), max_bytes)
        names = DEFAULT.of_partition(number)
        log = make_log(
            self.redis, self.metrics, unrecorded, names, is_divided=not self.width.is_fixed
        )
        return log, unrecorded, Follower()

    def receive(self, batch: list[Published]) -> None:
        orders = self.intake.receive(batch)
        if orders:
            self.told += orders
            for _, payload in orders:
                if b"handover" in payload:
                    command = commands.decode(payload)
                    assert isinstance(command, commands.Handover)
                    self.intake.take_over(command)

    def interrupted(self, *, is_lossy: bool) -> None:
        self.intake.interrupted(is_lossy=is_lossy)

    def change(self, *, listens: bool) -> None:
        self.intake.change(listens=listens)

    def start(self) -> None:
        self.tasks = [
            asyncio.create_task(self.bus.run(self)),
            *(asyncio.create_task(log.run(follower)) for log, _, follower in self.stacks),
            asyncio.create_task(self.intake.run()),
            *(asyncio.create_task(one.run()) for one in self.recorders),
        ]

    async def retire(self) -> None:
        await retire(self.bus, self.recorders)

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
