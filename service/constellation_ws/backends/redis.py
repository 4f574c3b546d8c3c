"""The ways to a backend through Redis: published on a channel, or appended to a stream.

Nobody answers: the ack says that Redis has accepted the request. Requests leave in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.backends.answers import BackendFailed
from constellation_ws.backends.ways import Target
from constellation_ws.redis_io.link import RedisUnavailable, answers_of
from constellation_ws.runtime.deadline import expire
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.sending import Message, Sending, Sent

STREAM_ENTRIES = 100_000
"""A stream retains the last requests, this many at least: a Redis that is full could not record
events. A backend that falls behind further loses the oldest."""
_ACCEPTED = msgspec.Raw(b'{"success":true}')

_Add = Callable[[Any, str, bytes], object]
"""Adds the command for a name and a payload to a pipeline."""


class RedisWay:
    """Channels or streams of the gateway's Redis."""

    def __init__(self, redis: Redis, spawn: Spawn, timeout_seconds: float, add: _Add) -> None:
        """`redis` must not try again what it has sent; `add` is `publish` or `append`."""
        self._redis = redis
        self._timeout_seconds = timeout_seconds
        self._add = add
        self._sending = Sending(self._send_all, spawn)

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw:
        """Send. Raises TimeoutError, BackendFailed."""
        try:
            accepted = self._sending.send(target.name, body)
            timer = expire(accepted, self._timeout_seconds)
            try:
                await accepted
            finally:
                timer.cancel()
        except RedisUnavailable as error:
            cause = error.__cause__
            # A Redis that objects works: a stream of another type must not end the others.
            is_down = not isinstance(cause, ResponseError)
            raise BackendFailed(str(error), is_down=is_down, event=cause) from error
        return _ACCEPTED

    async def aclose(self) -> None:
        """The client is its owner's to close."""

    async def _send_all(self, messages: Sequence[Message]) -> Sequence[Sent | RedisUnavailable]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name, payload in messages:
                self._add(pipe, name, payload)
            answers = await answers_of(pipe, "Redis did not accept it")
        return [one if isinstance(one, RedisUnavailable) else None for one in answers]


def publish(pipe: Any, channel: str, payload: bytes) -> None:
    """Publish a request on a channel."""
    pipe.publish(channel, payload)


def append(pipe: Any, stream: str, payload: bytes) -> None:
    """Append a request to a stream, which is trimmed."""
    pipe.xadd(stream, {"data": payload}, maxlen=STREAM_ENTRIES, approximate=True)
