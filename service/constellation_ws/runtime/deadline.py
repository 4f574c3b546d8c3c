"""A timeout that does not count time in which this process stood still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_PAUSE_SECONDS = 0.5
"""A timer that is as late says that the process was paused, or that the loop was blocked."""
_READ_SECONDS = 0.25
"""How long what arrived meanwhile may take to be read: timers run before reads."""


def call_when_due(due: float, act: Callable[[], None]) -> asyncio.TimerHandle:
    """Call at this time of the event loop, or, after a pause, once what arrived in it is read.

    For where a timer for each of thousands would cost too much: one for the oldest of them.
    Cancelling the handle has no effect after a pause, so that `act` must look at what is due.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        if loop.time() - due > _PAUSE_SECONDS:
            loop.call_later(_READ_SECONDS, act)
        else:
            act()

    return loop.call_at(due, end)


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Cancel what is done inside after so many seconds. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds

    async with asyncio.timeout(None) as limit:

        def end() -> None:
            now = loop.time()
            limit.reschedule(now + _READ_SECONDS if now - due > _PAUSE_SECONDS else now)

        timer = loop.call_at(due, end)
        try:
            yield
        finally:
            timer.cancel()
