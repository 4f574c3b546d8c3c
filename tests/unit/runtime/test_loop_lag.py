"""How late a timer fires, measured on a loop that is kept from firing it."""

from __future__ import annotations

import asyncio
import time

from constellation_ws.runtime import loop_lag
from tests.waiting import PATIENCE_SECONDS, cancelled


async def test_what_keeps_the_loop_busy_is_how_late_the_timer_comes() -> None:
    lags: asyncio.Queue[float] = asyncio.Queue()
    measuring = asyncio.create_task(loop_lag.measure(lags.put_nowait))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await lags.get()  # it has begun the next round
            time.sleep(3 * loop_lag.STEP_SECONDS)  # noqa: ASYNC251 - this is what is measured
            assert await lags.get() > 1.5 * loop_lag.STEP_SECONDS
            assert await lags.get() >= 0
    finally:
        await cancelled([measuring])
