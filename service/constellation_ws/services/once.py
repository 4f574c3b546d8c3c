"""Requests that may be repeated: what they send is sent once, whichever pod they are repeated at.

What is sent and what it was answered are one step inside Redis. So there is no moment at which a
pod that dies, or an answer that is lost, leaves open whether a request was executed, and a
repetition that comes too early finds nothing half done: it waits for nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.producer import FindPartition
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable
from constellation_ws.redis_io.names import Names
from constellation_ws.services.refusals import RequestRefused
from constellation_ws.services.sending import Message, Sent

_DIGEST_BYTES = 16
_MAX_SENDING = 32
"""Requests to Redis at a time; others wait. Each takes a connection of those that services share,
of which redis-py has 100."""

_ONCE = """
local kept = redis.call('GET', KEYS[1])
if kept then return kept end
local ids = {}
for i = 3, #ARGV, 2 do
  %s
end
local made = ARGV[1] .. ' ' .. table.concat(ids, ' ')
redis.call('SET', KEYS[1], made, 'EX', ARGV[2])
return made
"""
"""KEYS: what is kept of the request, and the log where it is written to. ARGV: the fingerprint of
the request, seconds for which it is kept, then channel and data of each message. Returns the
fingerprint of the first such request and the IDs that were given to what it sent."""


@dataclass(frozen=True, slots=True)
class Way:
    """How messages are sent."""

    script: str
    writes_log: bool
    """Whether the log is one of the script's keys. A key that it does not need would cost requests
    while a Redis Cluster moves the slot: one that is not moved yet makes the script wait."""


APPENDING = Way(
    _ONCE
    % "ids[#ids + 1] = redis.call('XADD', KEYS[2], '*', 'channel', ARGV[i], 'data', ARGV[i + 1])",
    writes_log=True,
)
PUBLISHING = Way(_ONCE % "redis.call('PUBLISH', ARGV[i], ARGV[i + 1])", writes_log=False)


@dataclass(frozen=True, slots=True)
class RetryKey:
    """What makes two requests one: who sends them, and by which key of theirs."""

    caller: str
    key: str
    fingerprint: str
    """Of what is requested. The same key for something else is a mistake."""

    def digest(self) -> str:
        """Give it a name of bounded length that no other caller's key has."""
        return _digest(f"{len(self.caller)}:{self.caller}:{self.key}".encode())


def fingerprint(*parts: bytes) -> str:
    """Return a digest that differs if any part of the request does."""
    return _digest(b"".join(b"%d:%b" % (len(part), part) for part in parts))


class Once:
    """Sends messages in one step, unless the same request has sent them already."""

    def __init__(
        self,
        logs: Sequence[tuple[Redis, Names]],
        find: FindPartition,
        way: Way,
        keep_seconds: int,
    ) -> None:
        """`logs` are the partitions, each with a client that may try again: that is the point.

        All that one request sends goes to the partition of its first message: one script cannot
        write to several.
        """
        self._logs: list[tuple[Any, Names]] = [
            (redis.register_script(way.script), names) for redis, names in logs
        ]
        self._find = find
        self._writes_log = way.writes_log
        self._keep_seconds = keep_seconds
        self._sending = asyncio.Semaphore(_MAX_SENDING)

    async def send_all(self, retry_key: RetryKey, messages: Sequence[Message]) -> list[Sent]:
        """Send messages in their order; give the ID of each, which the first request got.

        Raises RedisUnavailable, after which it may have been done, and RequestRefused where the key
        was used for another request.
        """
        words = [word for message in messages for word in message]
        send, names = self._logs[self._partition_of(messages)]
        more_keys = [names.log] if self._writes_log else []
        try:
            async with self._sending:
                kept = await send(
                    keys=[names.once(retry_key.digest()), *more_keys],
                    args=[retry_key.fingerprint, self._keep_seconds, *words],
                )
        except FAULTS as error:
            raise RedisUnavailable("Redis is away or full; try again with the same key") from error
        first, *ids = bytes(kept).decode().split()
        if first != retry_key.fingerprint:
            raise RequestRefused(
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request; use a new one for each request",
            )
        return [*ids] if ids else [None] * len(messages)

    def _partition_of(self, messages: Sequence[Message]) -> int:
        return next((self._find(channel.encode(), data) for channel, data in messages), 0)


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()
