"""What the TCP port sends to Redis: in the order in which it was given, many messages at a time.

One round trip for each would let a burst of a thousand requests wait for seconds. How a batch is
written is not known here: to the log, or to Pub/Sub where there is none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from constellation_ws.nest.requests import Spawn
from constellation_ws.redis_io.link import RedisUnavailable

_MAX_BATCH = 256
_MAX_BATCH_BYTES = 1_000_000

SendAll = Callable[[Sequence[tuple[str, bytes]]], Awaitable[Sequence[RedisUnavailable | None]]]
"""Writes (channel, payload) pairs in their order, and says of each why it was not accepted."""


class _Message(NamedTuple):
    channel: str
    payload: bytes
    accepted: asyncio.Future[None]


class Sending:
    """One queue for all connections of the TCP port; they bound what waits in it."""

    def __init__(self, send_all: SendAll, spawn: Spawn) -> None:
        self._send_all = send_all
        self._spawn = spawn
        self._waiting: deque[_Message] = deque()
        self._last: asyncio.Future[None] | None = None
        self._is_running = False

    def send(self, channel: str, payload: bytes) -> asyncio.Future[None]:
        """Send a message behind all that were given before; done when Redis has accepted it.

        The future raises RedisUnavailable. A message whose future is cancelled before its turn is
        not sent.
        """
        accepted = self._last = asyncio.get_running_loop().create_future()
        self._waiting.append(_Message(channel, payload, accepted))
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
                faults = await self._send_all([(one.channel, one.payload) for one in batch])
                for message, fault in zip(batch, faults, strict=True):
                    _settle(message.accepted, fault)
                # Whether a batch that had no answer was carried out is not known, and nobody sends
                # it again. So a Redis that hangs gets one message at a time, until it answers.
                most = _MAX_BATCH if None in faults else 1
        finally:
            self._is_running = False

    def _take(self, most: int) -> list[_Message]:
        batch: list[_Message] = []
        size = 0
        while self._waiting and len(batch) < most and size < _MAX_BATCH_BYTES:
            message = self._waiting.popleft()
            if not message.accepted.done():
                batch.append(message)
                size += len(message.payload)
        return batch


def _settle(accepted: asyncio.Future[None], fault: RedisUnavailable | None) -> None:
    if accepted.done():
        return  # whoever sent it did not wait for so long
    if fault is None:
        accepted.set_result(None)
    else:
        accepted.set_exception(fault)
