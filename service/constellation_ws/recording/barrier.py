"""Ticks of this pod's own: does the subscription bring them, and all that was published before?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from constellation_ws.log.appender import Appender
from constellation_ws.recording.lease import ANSWER_SECONDS

_UNHEARD_TICKS = 4
"""Two seconds. Ticks are counted, not seconds: after a pause of the process timers come first, and
what has arrived is read after them."""


class Deaf(ConnectionError):
    """The subscription is dead without a sign: it does not bring what this pod publishes."""

    def __init__(self) -> None:
        super().__init__("the subscription does not bring what this pod publishes")


class Barrier:
    """Publishes ticks, and waits for what was published before one."""

    def __init__(self, next_tick: Callable[[], bytes]) -> None:
        """`next_tick` makes a tick that no other pod and no other call makes."""
        self._next_tick = next_tick
        self._tick, self._passed = b"", asyncio.Event()
        self._unheard = 0
        """Ticks since the subscription has brought anything."""

    def hear(self) -> None:
        """Note that the subscription has brought something."""
        self._unheard = 0

    def note(self, tick: bytes) -> None:
        """Note a tick that the subscription has brought."""
        if tick == self._tick:
            self._passed.set()

    def tick(self, appender: Appender) -> None:
        """Publish a tick over the recorder's connection. Raises Deaf if the last ones got lost."""
        if self._unheard >= _UNHEARD_TICKS:
            raise Deaf
        self._unheard += 1
        appender.tick(self._next_tick())

    async def wait(self, appender: Appender) -> None:
        """Publish a tick over the recorder's connection, and wait until it is received.

        The log may be ahead of a subscription that is read late, and messages that are received
        next may have been recorded long ago. Our tick arrives after all of them. Raises Deaf if
        it does not: another pod has to record.
        """
        self._tick, self._passed = self._next_tick(), asyncio.Event()
        self._unheard = 0
        appender.tick(self._tick)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._passed.wait()
        except TimeoutError:
            raise Deaf from None
