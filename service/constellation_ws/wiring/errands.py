"""Work that its finder must not wait for: done one after another, by a task of its own.

A bounded queue. When it is full, the newest errand is dropped: an old one is more likely to be
waited for. What an errand does is its caller's.
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
"""Errands that may wait; each takes about half a KiB."""
ERRAND_SECONDS = 5.0
"""How long an errand may take, from when it is put into the queue."""
_LOG_SECONDS = 1.0

Work = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class _Errand:
    work: Work
    expires_at: float | None


class Errands:
    """The queue. `run` must run in one task for as long as the process lives."""

    def __init__(self, metrics: Metrics, max_waiting: int = MAX_WAITING) -> None:
        self._dropped = metrics.errands_dropped
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[Hashable, _Errand] = OrderedDict()
        self._has_work = asyncio.Event()
        self._logged_at = -_LOG_SECONDS

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: Hashable, work: Work, seconds: float | None = ERRAND_SECONDS) -> None:
        """Have something done soon, and within so many seconds or not at all.

        None is for what waits for nobody outside this process, and must be done however late. Where
        an errand with the same key still waits, that one will do: nothing is added.
        """
        if key in self._waiting:
            return
        if len(self._waiting) >= self._max_waiting:
            self._drop("full", "the queue is full")
            return
        expires_at = None if seconds is None else time.monotonic() + seconds
        self._waiting[key] = _Errand(work, expires_at)
        self._has_work.set()

    async def run(self) -> None:
        """Carry out what is put into the queue, in its order, forever."""
        while True:
            await self._has_work.wait()
            while self._waiting:
                _, errand = self._waiting.popitem(last=False)
                await self._carry_out(errand)
                await asyncio.sleep(0)  # errands that do not wait would keep everyone else out
            self._has_work.clear()

    async def _carry_out(self, errand: _Errand) -> None:
        seconds = None if errand.expires_at is None else errand.expires_at - time.monotonic()
        if seconds is not None and seconds <= 0:
            self._drop("expired", "it waited for too long")
            return
        try:
            async with asyncio.timeout(seconds):
                await errand.work()
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
