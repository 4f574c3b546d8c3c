"""Background jobs: work that must not delay whoever requests it, done one by one in one task.

A bounded queue. When it is full, the newest job is dropped: an old one is more likely to be
waited for. What a job does is decided by its caller.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any

import structlog

from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

MAX_WAITING = 10_000
"""BackgroundJobs that may wait; each takes about half a KiB."""
JOB_SECONDS = 5.0
"""How long a job may take, from when it is put into the queue."""
_LOG_SECONDS = 1.0

Work = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    expires_at: float | None


class BackgroundJobs:
    """The queue. `run` must run in one task for as long as the process lives."""

    def __init__(self, metrics: Metrics, max_waiting: int = MAX_WAITING) -> None:
        self._dropped = metrics.jobs_dropped
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[Hashable, _Job] = OrderedDict()
        self._has_work = asyncio.Event()
        self._logged_at = -_LOG_SECONDS

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: Hashable, work: Work, seconds: float | None = JOB_SECONDS) -> None:
        """Add a job, which is done within so many seconds or not at all.

        None is for a job that waits for nobody outside this process, and must be done however late.
        Where a job with the same key still waits, nothing is added.
        """
        if key in self._waiting:
            return
        if len(self._waiting) >= self._max_waiting:
            self._drop("full", "the queue is full")
            return
        expires_at = None if seconds is None else time.monotonic() + seconds
        self._waiting[key] = _Job(work, expires_at)
        self._has_work.set()

    async def run(self) -> None:
        """Run the jobs of the queue, in their order, forever."""
        while True:
            await self._has_work.wait()
            while self._waiting:
                _, job = self._waiting.popitem(last=False)
                await self._run_job(job)
                await asyncio.sleep(0)  # jobs that do not wait would keep everyone else out
            self._has_work.clear()

    async def _run_job(self, job: _Job) -> None:
        seconds = None if job.expires_at is None else job.expires_at - time.monotonic()
        if seconds is not None and seconds <= 0:
            self._drop("expired", "it waited for too long")
            return
        try:
            async with asyncio.timeout(seconds):
                await job.work()
        except TimeoutError:
            self._drop("expired", "it took too long")
        except RedisUnavailable as error:
            self._drop("failed", str(error))

    def _drop(self, outcome: str, reason: str) -> None:
        self._dropped.add(outcome)
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:  # in a flood a line that is left out costs too
            self._logged_at = now
            logger.warning("dropped a background job for another pod", reason=reason)
