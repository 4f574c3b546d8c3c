"""Appending to the log directly, as any producer does: what the gateway's own services send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from constellation_ws.redis_io.link import RedisUnavailable, answers_of
from constellation_ws.redis_io.names import Names

FindPartition = Callable[[bytes, bytes], int]
"""Returns the partition of a message, by its channel and its data."""


class Producer:
    """Appends messages that were not received from Pub/Sub, so no lease is needed."""

    def __init__(
        self,
        logs: Sequence[tuple[Redis, Names]],
        find: FindPartition,
        volatile: frozenset[str] = frozenset(),
    ) -> None:
        """`logs` are the partitions, each with a client that reaches it.

        That must not try again: a message would be in the log twice. Messages for a `volatile`
        channel are published instead.
        """
        self._logs = [(redis, names.log) for redis, names in logs]
        self._find = find
        self._volatile = volatile

    async def append_all(
        self, messages: Sequence[tuple[str, bytes]]
    ) -> list[str | RedisUnavailable | None]:
        """Append (channel, data) pairs in their order; return each one's ID, or why it has none.

        None for one that was published. Between partitions there is no order.
        """
        if len(self._logs) == 1:
            return await self._append(0, messages)
        places: dict[int, list[int]] = {}
        for place, (channel, data) in enumerate(messages):
            is_volatile = channel in self._volatile
            number = 0 if is_volatile else self._find(channel.encode(), data)
            places.setdefault(number, []).append(place)
        answers: list[str | RedisUnavailable | None] = [None] * len(messages)
        sent = await asyncio.gather(
            *(self._append(one, [messages[i] for i in some]) for one, some in places.items())
        )
        for some, replies in zip(places.values(), sent, strict=True):
            for place, reply in zip(some, replies, strict=True):
                answers[place] = reply
        return answers

    async def _append(
        self, number: int, messages: Sequence[tuple[str, bytes]]
    ) -> list[str | RedisUnavailable | None]:
        """Append messages to one partition."""
        redis, key = self._logs[number]
        async with redis.pipeline(transaction=False) as pipe:
            for channel, data in messages:
                if channel in self._volatile:
                    pipe.publish(channel, data)
                else:
                    pipe.xadd(key, {"channel": channel, "data": data})
            answers = await answers_of(pipe, "the log cannot be written: Redis is away or full")
        return [one.decode() if isinstance(one, bytes) else _refused(one) for one in answers]


def _refused(answer: object) -> RedisUnavailable | None:
    """Return why a message was not accepted; None for the number of its subscribers."""
    return answer if isinstance(answer, RedisUnavailable) else None
