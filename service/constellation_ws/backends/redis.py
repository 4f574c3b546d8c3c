"""The ways to a backend through Redis: published on a channel, or appended to a stream.

Nobody answers: the ack says that Redis has accepted the request. Requests leave in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.backends.answers import BackendFailed, NoAnswer
from constellation_ws.backends.ways import Done, Target
from constellation_ws.redis_io.command_queue import CommandQueue, Words
from constellation_ws.runtime.spawning import Spawn

STREAM_ENTRIES = 100_000
"""A stream retains the last requests, this many at least: a Redis that is full could not record
events. A backend that falls behind further loses the oldest."""
_ACCEPTED = msgspec.Raw(b'{"success":true}')

_Command = Callable[[str, bytes], Words]
"""Gives the command for a name and a payload."""


class RedisWay:
    """Channels or streams of the gateway's Redis."""

    def __init__(
        self, redis: Redis, spawn: Spawn, timeout_seconds: float, command: _Command
    ) -> None:
        """`command` is `publish` or `append`."""
        self._queue = CommandQueue(redis, spawn, timeout_seconds)
        self._command = command
        self._has_keys = command is append

    def begin(self, target: Target, body: bytes, traceparent: str, done: Done) -> None:
        """Send a request without waiting."""
        name = target.name
        key = name if self._has_keys else None
        self._queue.send(self._command(name, body), len(body), partial(_end, done), key=key)

    async def aclose(self) -> None:
        """The client is its owner's to close."""


def publish(channel: str, payload: bytes) -> Words:
    """Publish a request on a channel."""
    return "PUBLISH", channel, payload


def append(stream: str, payload: bytes) -> Words:
    """Append a request to a stream, which is trimmed."""
    return "XADD", stream, "MAXLEN", "~", STREAM_ENTRIES, "*", "data", payload


def _end(done: Done, reply: Any) -> None:
    done(_failure(reply) if isinstance(reply, Exception) else _ACCEPTED)


def _failure(error: Exception) -> BackendFailed:
    if isinstance(error, TimeoutError):
        return NoAnswer()
    # A Redis that objects works: a stream of another type must not end the others.
    is_down = not isinstance(error, ResponseError)
    return BackendFailed("Redis did not accept it", is_down=is_down, event=error)
