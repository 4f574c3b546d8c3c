"""A tick of this pod's own, behind which all is received that was published before it."""

from __future__ import annotations

import asyncio

from constellation_ws.log.appender import Appender
from constellation_ws.recording.lease import ANSWER_SECONDS
from constellation_ws.redis_io.bus import RedisBus


class Barrier:
    """Waits for what was published before this pod got the lease."""

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus
        self._tick, self._passed = b"", asyncio.Event()

    def note(self, tick: bytes) -> None:
        """Note a tick that the subscription has brought."""
        if tick == self._tick:
            self._passed.set()

    async def wait(self, appender: Appender) -> None:
        """Publish a tick over the recorder's connection, and wait until it is received.

        The log may be ahead of a subscription that is read late, and messages that are received
        next may have been recorded long ago. Our tick arrives after all of them. Raises
        TimeoutError if it does not: the subscription may be dead, and another pod has to record.
        """
        self._tick, self._passed = self._bus.next_tick(), asyncio.Event()
        appender.tick(self._tick)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._passed.wait()
