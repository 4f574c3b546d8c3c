"""How late the event loop is: a long callback delays all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

STEP_SECONDS = 0.1


async def measure(note: Callable[[float], None]) -> None:
    """Report, for ever, by how many seconds a timer came late."""
    while True:
        # Not the loop's own clock: uvloop's stands still while a callback runs.
        due = time.monotonic() + STEP_SECONDS
        await asyncio.sleep(STEP_SECONDS)
        note(max(0.0, time.monotonic() - due))  # uvloop counts milliseconds, and comes early
