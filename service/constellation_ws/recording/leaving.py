"""What a pod waits for, and says, before it stops."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.messages.commands import Handover
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable

logger = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_WRITE_SECONDS = 1.0


async def await_recorded(
    redis_log: RedisLog, unrecorded: Unrecorded, seconds: float | None = None
) -> None:
    """Wait until the log has, or has passed over, all that was received until now.

    And until a loss that is known here is written: perhaps nobody else knows of it. No longer than
    so many seconds.
    """
    end = unrecorded.end
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while unrecorded.begin < end or redis_log.epochs.has_loss:
                await redis_log.moved(_LOOK_SECONDS)


def left_behind(unrecorded: Unrecorded, instance: str, *, is_deaf: bool) -> str:
    """Return the position from which a pod that stops now may leave something unrecorded.

    Where messages were sent to it that never came, it is one that nobody knows: who has missed
    anything may have missed those. Empty where it leaves nothing.
    """
    if left := unrecorded.end - unrecorded.begin:
        logger.warning(
            "this pod stops before all that it has received is recorded: what no other pod has "
            "received is lost", unrecorded=left
        )  # fmt: skip
    if is_deaf or unrecorded.is_lossy:
        return f"{instance}~:0"
    return unrecorded.recorded_position.decode() if unrecorded.begin < unrecorded.end else ""


async def report_lost(redis_log: RedisLog, left: int) -> None:
    """End the epoch for what this pod leaves unrecorded: no pod stays that would do it."""
    redis_log.lose("interrupted", left or 1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WRITE_SECONDS):
            while redis_log.epochs.has_loss:
                await redis_log.moved(_LOOK_SECONDS)


async def notify_others(bus: RedisBus, handover: Handover) -> None:
    """Let the other pods ask for the lease at once."""
    try:
        await bus.all_pods.send(handover)
    except (*FAULTS, RedisUnavailable) as error:
        logger.warning("the other pods do not know that this one leaves", error=str(error))
