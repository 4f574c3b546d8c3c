"""The steps of stopping after the drain, each with a timeout: Redis or a client may hang.

`lifecycle` decides when they begin, and the deadline of all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

import structlog

from constellation_ws.wiring.gateway import Gateway

logger = structlog.get_logger(__name__)

STEP_SECONDS = 2.0
"""Timeout of each step."""
RECORDER_SECONDS = 6.0
"""Timeout of having recorded what only this pod may have received."""
TCP_GRACE_SECONDS = 1.0
"""Timeout of the requests on the TCP port that are being processed."""
CANCEL_SECONDS = 0.2


async def stop_parts(gateway: Gateway) -> None:
    """Accept no new work first, then give up what other pods wait for."""
    await _step("chat access", gateway.clients.access.aclose())
    await _step("backends", gateway.clients.backends.aclose())
    await _step("TCP port", gateway.services.tcp.aclose(TCP_GRACE_SECONDS))
    await asyncio.gather(
        _step("presence", gateway.clients.presence.withdraw()),
        _step("presence events", gateway.clients.announcing.withdraw()),
        _step("recorder", gateway.events.delivery.hand_over(), RECORDER_SECONDS),
        _step("sessions", gateway.events.sessions.flush()),
        _step("peers", gateway.peering.peers.aclose()),
    )


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they are gone.

    Once is not enough: redis-py waits in `asyncio.wait_for`, which on Python 3.11 may swallow a
    cancellation (github.com/python/cpython/issues/86296).
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)


async def _step(name: str, work: Awaitable[None], seconds: float = STEP_SECONDS) -> None:
    """Do one step, with a timeout: what is not done in time expires elsewhere by itself."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        logger.warning("shutdown step timed out", step=name)
