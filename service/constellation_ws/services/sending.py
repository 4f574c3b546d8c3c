"""What services send to Redis: in the order in which it was given, many messages at a time.

One round trip for each would let a burst of a thousand requests wait for seconds. How a batch is
written is not known here: to the log, or to Pub/Sub where there is none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.runtime.spawning import Spawn

_MAX_BATCH = 256
_MAX_BATCH_BYTES = 1_000_000

Message = tuple[str, bytes]
"""A channel and what is sent on it."""
Sent = str | None
"""The ID that a message has in the log; None where there is no log."""
SendAll = Callable[[Sequence[Message]], Awaitable[Sequence[Sent | RedisUnavailable]]]
"""Writes messages in their order; gives the ID of each, or why it was not accepted."""


class _Waiting(NamedTuple):
    channel: str
    payload: bytes
    accepted: asyncio.Future[Sent]


class Sending:
    """One queue for all connections of a port; they bound what waits in it."""

    def __init__(self, send_all: SendAll, spawn: Spawn) -> None:
        self._send_all = send_all
        self._spawn = spawn
        self._waiting: deque[_Waiting] = deque()
        self._last: asyncio.Future[Sent] | None = None
        self._is_running = False

    def send(self, channel: str, payload: bytes) -> asyncio.Future[Sent]:
        """Send a message behind all that were given before; its ID when Redis has accepted it.

        The future raises RedisUnavailable. A message whose future is cancelled before its turn is
        not sent.
        """
        accepted = self._last = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(channel, payload, accepted))
        if not self._is_running:
            self._is_running = True
            self._spawn(self._run())
        return accepted

    async def flushed(self) -> None:
        """Wait until all that was given before is accepted or refused."""
        if self._last is not None:
            await asyncio.wait({self._last})

    async def _run(self) -> None:
        """Send until nothing waits."""
        try:
            most = _MAX_BATCH
            while self._waiting:
                batch = self._take(most)
                answers = await self._send_all([(one.channel, one.payload) for one in batch])
                for message, answer in zip(batch, answers, strict=True):
                    _complete(message.accepted, answer)
                # Whether a batch that had no answer was executed is not known, and nobody sends
                # it again. So a Redis that hangs gets one message at a time, until it answers.
                is_answered = not all(isinstance(one, RedisUnavailable) for one in answers)
                most = _MAX_BATCH if is_answered else 1
        finally:
            self._is_running = False

    def _take(self, most: int) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < most and size < _MAX_BATCH_BYTES:
            message = self._waiting.popleft()
            if not message.accepted.done():
                batch.append(message)
                size += len(message.payload)
        return batch


def _complete(accepted: asyncio.Future[Sent], answer: Sent | RedisUnavailable) -> None:
    if accepted.done():
        return  # the sender did not wait for so long
    if isinstance(answer, RedisUnavailable):
        accepted.set_exception(answer)
    else:
        accepted.set_result(answer)
