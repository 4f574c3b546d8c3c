"""Appending to the log directly, as any producer does: what the gateway's own services send."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from constellation_ws.redis_io.link import RedisUnavailable, answers_of
from constellation_ws.redis_io.names import Names


class Producer:
    """Appends messages that were not received from Pub/Sub, so no lease is needed."""

    def __init__(self, redis: Redis, names: Names, volatile: frozenset[str] = frozenset()) -> None:
        """`redis` must not try again: a message would be in the log twice.

        Messages for a `volatile` channel are published instead.
        """
        self._redis = redis
        self._log_key = names.log
        self._volatile = volatile

    async def append_all(
        self, messages: Sequence[tuple[str, bytes]]
    ) -> list[str | RedisUnavailable | None]:
        """Append (channel, data) pairs in their order; return each one's ID, or why it has none.

        None for one that was published.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for channel, data in messages:
                if channel in self._volatile:
                    pipe.publish(channel, data)
                else:
                    pipe.xadd(self._log_key, {"channel": channel, "data": data})
            answers = await answers_of(pipe, "the log cannot be written: Redis is away or full")
        return [one.decode() if isinstance(one, bytes) else _refused(one) for one in answers]


def _refused(answer: object) -> RedisUnavailable | None:
    """Return why a message was not accepted; None for the number of its subscribers."""
    return answer if isinstance(answer, RedisUnavailable) else None
