"""Appending to the log directly, as any producer does: what the gateway's own services send."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from constellation_ws.redis_io.link import RedisUnavailable, answers_of
from constellation_ws.redis_io.names import Names


class Producer:
    """Appends messages that were not received from Pub/Sub, so no lease is needed."""

    def __init__(self, redis: Redis, names: Names) -> None:
        """`redis` must not try again: a message would be in the log twice."""
        self._redis = redis
        self._log_key = names.log

    async def append_all(
        self, messages: Sequence[tuple[str, bytes]]
    ) -> list[str | RedisUnavailable]:
        """Append (channel, data) pairs in their order; return each one's ID, or why it has none."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for channel, data in messages:
                pipe.xadd(self._log_key, {"channel": channel, "data": data})
            answers = await answers_of(pipe, "the log cannot be written: Redis is away or full")
        return [one if isinstance(one, RedisUnavailable) else one.decode() for one in answers]
