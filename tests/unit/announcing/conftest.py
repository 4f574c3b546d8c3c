"""Pods that announce, on a real Valkey, and the times of an hour in a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.announcing import announcer, record
from constellation_ws.announcing.announcer import Announcer
from constellation_ws.announcing.record import Record
from constellation_ws.messages.events import UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.names import DEFAULT
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually, throughout

LIFETIME_SECONDS = 1.5
ONLINE = ("u", "online", "connected")


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shares expire soon. A busy machine is late by less than a lifetime."""
    monkeypatch.setattr(record, "LIFETIME_SECONDS", LIFETIME_SECONDS)
    monkeypatch.setattr(record, "PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(announcer, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(announcer, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(announcer, "_STEP_SECONDS", 0.01)
    monkeypatch.setattr(announcer, "_PACE_SECONDS", 0.001)
    monkeypatch.setattr(announcer, "_RETRY_SECONDS", 0.05)


class Counted(Announcer):
    """One whose steps are counted, failed ones too."""

    steps = 0

    async def _step(self, now: float) -> float:
        try:
            return await super()._step(now)
        finally:
            self.steps += 1


class Pod:
    """One pod's announcer, which can be killed and paused."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.metrics = Metrics()
        self.announcer = Counted(Record(redis, DEFAULT), name, self.metrics)
        self._task: asyncio.Task[None] | None = None

    def came(self, *users: str) -> None:
        for user in users:
            self.announcer.came(UserId(user))

    def went(self, *users: str, reason: str = "transport close") -> None:
        for user in users:
            self.announcer.went(UserId(user), reason)

    def start(self) -> None:
        self._task = asyncio.create_task(self.announcer.run())

    async def kill(self) -> None:
        """End it without a word; `start` goes on with it, as after a pause."""
        if self._task is not None:
            assert not self._task.done(), self._task
            await cancelled([self._task])
            self._task = None

    async def written(self) -> None:
        """Wait until all is written, and for a look that has seen it."""
        await eventually(lambda: not self.announcer.unwritten, PATIENCE_SECONDS, "all is written")
        await self.stepped(20)

    async def stepped(self, steps: int) -> None:
        enough = self.announcer.steps + steps
        await eventually(
            lambda: self.announcer.steps >= enough, PATIENCE_SECONDS, "the task goes on"
        )

    def count(self, status: str) -> float:
        return self.metrics.presence_events.labels(status)._value.get()


class Stream:
    """What a backend has read so far."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(fields[b"data"]) for _, fields in await self._entries()]

    async def numbers(self) -> list[int]:
        return [int(fields[b"number"]) for _, fields in await self._entries()]

    async def said(self, user: str | None = None) -> list[tuple[str, str, str]]:
        """User, status and reason of each event."""
        return [
            (one["userId"], one["status"], one["reason"])
            for one in await self.events()
            if user in (None, one["userId"])
        ]

    async def until(self, *said: tuple[str, str, str]) -> None:
        """Wait until exactly this was said, in any order of the users."""

        async def is_said() -> object:
            return sorted(await self.said()) == sorted(said)

        try:
            await eventually(is_said, PATIENCE_SECONDS, f"said: {said}")
        except AssertionError as error:
            raise AssertionError(f"said instead: {await self.said()}") from error

    async def _entries(self) -> list[Any]:
        entries: Any = await self._redis.xrange(DEFAULT.presence_events)
        return list(entries)


async def nothing_more(stream: Stream, *pods: Pod) -> None:
    """Let pods look and write for longer than a share lasts."""
    before = await stream.said()
    await throughout(lambda: True, LIFETIME_SECONDS + 0.5, "time passes")
    for pod in pods:
        await pod.stepped(20)
    assert await stream.said() == before


@pytest.fixture
def stream(redis: Redis) -> Stream:
    return Stream(redis)


@asynccontextmanager
async def running(*pods: Pod) -> AsyncIterator[None]:
    async with AsyncExitStack() as held:
        for pod in pods:
            pod.start()
            held.push_async_callback(pod.kill)
        yield


@pytest.fixture
async def pods(redis: Redis) -> AsyncIterator[tuple[Pod, Pod]]:
    """Two pods that run."""
    a, b = Pod(redis, "pod-a"), Pod(redis, "pod-b")
    async with running(a, b):
        yield a, b
