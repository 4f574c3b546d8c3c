"""A timeout that does not count time in which this process stood still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_PAUSE_SECONDS = 0.5
"""A timer that is as late says that the process was paused, or that the loop was blocked."""
_READ_SECONDS = 0.25
"""How long what arrived meanwhile may take to be read: timers run before reads."""


def expire(expected: asyncio.Future[Any], seconds: float) -> asyncio.TimerHandle:
    """Fail a future with TimeoutError unless it is done after so many seconds.

    The same as `deadline` around it, at a third of the cost: for where thousands are awaited. The
    caller cancels the timer when the future is done.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds

    def end(is_late: bool) -> None:
        if expected.done():
            return
        if is_late and loop.time() - due > _PAUSE_SECONDS:
            loop.call_later(_READ_SECONDS, end, False)
        else:
            expected.set_exception(TimeoutError())

    return loop.call_at(due, end, True)


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
