"""Publishing on Redis Pub/Sub."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from constellation_ws.redis_io.link import FAULTS, RedisUnavailable, answers_of

_MAX_PUBLISHING = 32
"""Publications at a time; others wait. Each takes a connection of those that all parts share, of
which redis-py has 100."""
_UNAVAILABLE = "Redis cannot be reached; try again"


class Publisher:
    """Publishes what this process sends."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._publishing = asyncio.Semaphore(_MAX_PUBLISHING)

    async def publish(self, channel: str, payload: bytes) -> int:
        """Publish; return how many subscribers Redis reached. Raises RedisUnavailable."""
        try:
            async with self._publishing:
                return int(await self._redis.publish(channel, payload))
        except FAULTS as error:
            raise RedisUnavailable(_UNAVAILABLE) from error

    async def publish_all(
        self, messages: Sequence[tuple[str, bytes]]
    ) -> list[RedisUnavailable | None]:
        """Publish (channel, payload) pairs in their order; return why each was not accepted."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for channel, payload in messages:
                pipe.publish(channel, payload)
            answers = await answers_of(pipe, _UNAVAILABLE)
        return [one if isinstance(one, RedisUnavailable) else None for one in answers]
