"""The recorder's lease, as one pod asks for it and releases it. Its appends renew it."""

from __future__ import annotations

import asyncio
import itertools
import math

from redis.exceptions import ConnectionError

from constellation_ws.log.appender import Appender
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.seats import Claim
from constellation_ws.log.state import Candidacy, LeaseReply
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.redis_io.link import FAULTS

LEASE_SECONDS = 2.0
"""With the time between two questions, a dead recorder is replaced within three seconds."""
ANSWER_SECONDS = 1.0
"""Redis has so long to answer: less than the lease lasts."""

PATIENCE_SECONDS = 0.7
"""How long a pod that missed something lets others ask first: each has asked by then."""


class RecorderLease:
    """Asks for the lease under a new ID each time."""

    def __init__(self, redis_log: RedisLog, instance: str) -> None:
        """`instance` is this process's own."""
        self._log = redis_log
        self._instance = instance
        self._numbers = itertools.count()
        self._id = ""
        """Of the last candidacy."""

    def candidacy(
        self, unrecorded: Unrecorded, waiting_seconds: float, more_patience: float
    ) -> Candidacy:
        """Make what this pod says of itself when it asks; it has known positions for so long.

        Where it missed something, others may take `more_patience` seconds longer to ask.
        """
        self._id = f"{self._instance}.{next(self._numbers)}"
        patience = PATIENCE_SECONDS + more_patience if unrecorded.has_hole else 0.0
        # Who knows of a loss reports it when it begins to record.
        is_late = unrecorded.has_hole and not unrecorded.is_lossy
        return Candidacy(self._id, self._instance, patience, waiting_seconds, is_late)

    async def request(self, candidacy: Candidacy, claim: Claim, partitions: int) -> LeaseReply:
        """Ask for the lease, and for a seat. Raises TimeoutError, or what FAULTS names."""
        state = self._log.state
        self._log.comparison.ask()
        async with asyncio.timeout(ANSWER_SECONDS):
            return await state.request_lease(candidacy, LEASE_SECONDS, claim, partitions)

    async def release(self) -> None:
        """Release the lease that was granted last, if Redis answers: others may record then."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                is_released = await self._log.state.release(self._id)
        except ConnectionError:
            return  # Redis is gone, so nobody else can record either
        except (TimeoutError, *FAULTS):
            is_released = True  # perhaps
        if is_released:
            self._log.comparison.note_lease(-math.inf)


async def level(appender: Appender, unrecorded: Unrecorded) -> None:
    """Deliver all that the log holds: what is unrecorded here after that is not in the log.

    Raises TimeoutError if that takes too long: the lease would expire.
    """
    async with asyncio.timeout(ANSWER_SECONDS):
        while not await appender.renewed(LEASE_SECONDS, unrecorded.recorded_position):
            pass
