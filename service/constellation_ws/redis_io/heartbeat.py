"""What this process publishes to itself: whether, and how soon, the subscription brings it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import FAULTS

logger = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 4.0


class Heartbeat:
    """One process's heartbeat. `beat` must run in one task for as long as the process lives."""

    def __init__(
        self, redis: Redis, channel: str, metrics: Metrics, on_received: Callable[[], None]
    ) -> None:
        """`on_received` is called with each heartbeat that the subscription brings."""
        self._redis, self._channel, self._metrics = redis, channel, metrics
        self._on_received = on_received

    async def beat(self) -> None:
        """Send heartbeats through Redis, for ever."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._redis.publish(self._channel, str(time.monotonic()))
            except FAULTS as error:
                logger.debug("the heartbeat could not be sent", error=str(error))

    def receive(self, payload: bytes) -> None:
        """Receive a heartbeat; anybody may publish on this channel."""
        try:
            sent_at = float(payload)
        except ValueError:
            self._metrics.commands.labels("malformed").inc()
            return
        self._on_received()
        self._metrics.redis_round_trip.set(time.monotonic() - sent_at)
