"""A bounded queue of work: what it holds, what it drops, and that it raises into nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.wiring.background_jobs import BackgroundJobs
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


class World:
    """A queue, what was done of it, and how many were dropped."""

    def __init__(self, max_waiting: int) -> None:
        self.metrics = Metrics()
        self.jobs = BackgroundJobs(self.metrics, max_waiting)
        self.done: list[object] = []

    def put(self, name: object, seconds: float | None = PATIENCE_SECONDS) -> None:
        """A job that is done at once."""

        async def work() -> None:
            self.done.append(name)

        self.jobs.put(name, work, seconds)

    def dropped(self, reason: str) -> int:
        return self.metrics.jobs_dropped.of(reason).value

    async def until_empty(self) -> None:
        """Wait until all that waits is done."""
        await eventually(lambda: not len(self.jobs), PATIENCE_SECONDS, "nothing waits")
        self.put("last", None)
        await eventually(lambda: "last" in self.done, PATIENCE_SECONDS, "all is done")
        self.done.remove("last")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(max_waiting=3)
    running = asyncio.create_task(world.jobs.run())
    yield world
    assert not running.done(), "nothing that is put there ends it"
    await cancelled([running])


async def test_jobs_are_done_in_order(world: World) -> None:
    for name in (1, 2, 3):
        world.put(name)
    await world.until_empty()
    assert world.done == [1, 2, 3]


async def test_a_full_queue_drops_the_newest_counts_and_logs_it(world: World) -> None:
    with capture_logs() as lines:
        for name in range(120_000):
            world.put(name)
        await world.until_empty()
    assert world.done == [0, 1, 2]
    assert world.dropped("full") == 120_000 - 3
    assert lines[0]["event"] == "dropped a background job for another pod"


async def test_a_job_that_waits_already_is_not_put_there_twice(world: World) -> None:
    for _ in range(120_000):
        world.put("same")
    world.put("other")
    await world.until_empty()
    assert world.done == ["same", "other"]
    assert world.dropped("full") == 0
    world.put("same")
    await world.until_empty()
    assert world.done == ["same", "other", "same"], "it is new once it was done"


async def test_a_job_has_its_time_from_when_it_was_put_there(world: World) -> None:
    """While Redis hangs, what waits behind one job is not waited for one by one."""
    world.jobs.put("hangs", asyncio.Event().wait, 0.05)
    world.put("too late", 0.01)
    world.put("however late", None)
    await world.until_empty()
    assert world.done == ["however late"]
    assert world.dropped("expired") == 2


async def test_a_job_that_fails_is_dropped_and_the_next_is_done(world: World) -> None:
    async def fail() -> None:
        raise RedisUnavailable("Redis cannot be reached; try again")

    world.jobs.put("fails", fail)
    world.put("next")
    await world.until_empty()
    assert (world.done, world.dropped("failed")) == (["next"], 1)
