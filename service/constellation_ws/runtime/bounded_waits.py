"""Waits that all have the same timeout, and share one timer."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

from constellation_ws.runtime.deadline import call_when_due


class BoundedWaits:
    """Thousands may wait at the same time: `asyncio.wait` makes a timer and several objects for
    each of them, and takes five times as long.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds` is how long each may wait."""
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[bool]]] = deque()
        """Until when, and who. Those that are done may still be here."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, expected: asyncio.Future[Any]) -> bool:
        """Wait until a future is done; False if it was cancelled, or is not done in time.

        A caller that stops waiting does not cancel it.
        """
        if expected.done():
            return not expected.cancelled()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        end = partial(_end, waiter)
        expected.add_done_callback(end)
        self._add(loop.time() + self._seconds, waiter)
        try:
            return await waiter
        finally:
            expected.remove_done_callback(end)

    def _add(self, due: float, waiter: asyncio.Future[bool]) -> None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((due, waiter))
        if self._timer is None:
            self._timer = call_when_due(due, self._expire)

    def _expire(self) -> None:
        """End the waits that are due, and be called again for the others."""
        self._timer = None
        now, waiting = asyncio.get_running_loop().time(), self._waiting
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            _, waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(False)
        if waiting:
            self._timer = call_when_due(waiting[0][0], self._expire)


def _end(waiter: asyncio.Future[bool], expected: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(not expected.cancelled())
