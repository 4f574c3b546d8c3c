"""Waits for what somebody else completes, each with the same timeout."""

from __future__ import annotations

import asyncio

from constellation_ws.runtime.bounded_waits import BoundedWaits
from tests.waiting import PATIENCE_SECONDS


def future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_what_is_done_is_not_waited_for() -> None:
    waits, done, cancelled = BoundedWaits(0), future(), future()
    done.set_result(None)
    cancelled.cancel()
    assert await waits.wait(done)
    assert not await waits.wait(cancelled)


async def test_all_who_wait_learn_how_it_ended() -> None:
    waits, done, cancelled = BoundedWaits(PATIENCE_SECONDS), future(), future()
    waiting = [asyncio.create_task(waits.wait(one)) for one in (done, done, cancelled)]
    await asyncio.sleep(0)
    done.set_result(None)
    cancelled.cancel()
    assert await asyncio.gather(*waiting) == [True, True, False]


async def test_each_waits_for_its_own_time() -> None:
    waits, never = BoundedWaits(0.2), future()
    loop = asyncio.get_running_loop()

    async def seconds_waited() -> float:
        began = loop.time()
        assert not await waits.wait(never)
        return loop.time() - began

    first = asyncio.create_task(seconds_waited())
    await asyncio.sleep(0.1)
    assert all(0.15 < one < 2 for one in await asyncio.gather(first, seconds_waited()))
    assert not never.done()


async def test_the_timer_goes_on_after_what_was_done_in_time() -> None:
    waits, done, never = BoundedWaits(0.05), future(), future()
    waiting = asyncio.create_task(waits.wait(done))
    await asyncio.sleep(0)
    done.set_result(None)
    assert await waiting
    assert not await waits.wait(never)
    assert not await waits.wait(never)


async def test_who_stops_waiting_cancels_nothing_and_is_forgotten() -> None:
    waits, expected = BoundedWaits(PATIENCE_SECONDS), future()
    one, other = (asyncio.create_task(waits.wait(expected)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    assert one.cancelled()
    expected.set_result(None)
    assert await other
