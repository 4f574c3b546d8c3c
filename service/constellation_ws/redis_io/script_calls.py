"""Calls of scripts, many at a time over one connection.

What a script does, and what its reply means, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import sha1
from typing import Any

import msgspec
import redis
from redis.asyncio import Redis

from constellation_ws.redis_io.command_queue import CommandQueue, Words
from constellation_ws.runtime.spawning import Spawn


class Call(msgspec.Struct, frozen=True):
    """A command that executes a script on one key. It may be executed twice."""

    words: Words
    key: str
    payload_bytes: int


def digest_of(script: str) -> str:
    """Return the SHA1 by which Redis knows a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


class Script:
    """A Lua script that uses one key."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = digest_of(source)
        self._begin = ("EVALSHA", self.digest, 1)

    def call(self, key: str, *arguments: str | bytes | int, payload_bytes: int = 0) -> Call:
        """Make a call; `payload_bytes` is about what its arguments have."""
        return Call((*self._begin, key, *arguments), key, payload_bytes)


class ScriptCalls:
    """Executes what is called together in one round trip, if it is not too large for that."""

    def __init__(
        self, client: Redis, spawn: Spawn, scripts: Iterable[Script], timeout_seconds: float
    ) -> None:
        """`timeout_seconds` is how long a call may take before it counts as failed."""
        sources = [script.source for script in scripts]
        self._queue = CommandQueue(client, spawn, timeout_seconds, sources)

    def connect(self) -> None:
        """Connect and load the scripts already, so that the first callers need not wait for it."""
        self._queue.send(("PING",), 0, _ignore)

    async def carry_out(self, calls: Sequence[Call]) -> list[Any]:
        """Return the reply to each, or the exception that says why there is none.

        After a connection that was lost, calls without a reply are executed again, once: each
        restart of Redis ends one. Of a call with a TimeoutError or a ConnectionError it is not
        known whether it was, or will be, executed.
        """
        replies = await self._exchange(calls)
        failed = (i for i, reply in enumerate(replies) if isinstance(reply, Exception))
        lost = [index for index in failed if _is_lost(replies[index])]
        if lost:
            again = await self._exchange([calls[index] for index in lost])
            for index, reply in zip(lost, again, strict=True):
                replies[index] = reply
        return replies

    async def _exchange(self, calls: Sequence[Call]) -> list[Any]:
        replies = _Replies(len(calls))
        for index, call in enumerate(calls):
            note = partial(replies.note, index)
            self._queue.send(call.words, call.payload_bytes, note, key=call.key)
        return await replies.complete


class _Replies:
    """Replies to some commands, in the order of the commands."""

    def __init__(self, count: int) -> None:
        self._replies: list[Any] = [None] * count
        self._missing = count
        self.complete: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def note(self, index: int, reply: Any) -> None:
        self._replies[index] = reply
        self._missing -= 1
        if self._missing == 0 and not self.complete.done():
            self.complete.set_result(self._replies)


def _ignore(_: Any) -> None:
    """Who calls next learns what is wrong."""


def _is_lost(error: Exception) -> bool:
    """Tell whether that was the connection: Redis has not refused, and it does not hang."""
    return not isinstance(error, (redis.ResponseError, redis.TimeoutError, TimeoutError))
