"""All partitions of a log that other pods record, for a pod that keeps none (see `direct`).

While a pod lives that does not say that it follows several, no more partitions come into use
(`WIDEN`). But the number may be above one when it starts, or when Redis comes back to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis

from constellation_ws.log.direct import DirectEntries, Published
from constellation_ws.redis_io.link import FAULTS
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0


class DirectPartitions:
    """Follows all that are in use. `run` must run in one task for as long as the process lives."""

    def __init__(self, redis: Redis, names: Names, follow: Callable[[int], DirectEntries]) -> None:
        """`follow` makes what follows one partition; `redis` reaches the first one."""
        self._redis = redis
        self._names = names
        self._follow = follow

    async def run(self, deliver: Callable[[list[Published]], None]) -> None:
        """Pass every batch to `deliver`, for ever."""
        await self._run_from(0, deliver)

    async def _run_from(self, number: int, deliver: Callable[[list[Published]], None]) -> None:
        """Follow a partition, and those behind it once they are in use."""
        follower = self._follow(number)
        await asyncio.gather(follower.run(deliver), self._run_later(number + 1, deliver))

    async def _run_later(self, number: int, deliver: Callable[[list[Published]], None]) -> None:
        while await self._in_use() <= number:  # noqa: ASYNC110 - it is Redis that is waited for
            await asyncio.sleep(_LOOK_SECONDS)
        logger.info("another partition of the log is followed", partition=number)
        await self._run_from(number, deliver)

    async def _in_use(self) -> int:
        """Return how many are in use; 1 where Redis does not say."""
        try:
            (text,) = await self._ask()
        except FAULTS:
            return 1
        return int(text) if text is not None and text.isdigit() else 1

    def _ask(self) -> Any:
        return self._redis.hmget(self._names.state, ["partitions"])
