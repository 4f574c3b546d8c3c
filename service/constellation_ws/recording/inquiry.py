"""What the recorder asks Redis while it records: the epoch, its seat, and whether it may pack.

That of the first partition also asks whether more partitions may be used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from constellation_ws.log.appender import Appender
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.state import ONLY_ASKING, Packing
from constellation_ws.recording.assignment import Assignment
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io.link import FAULTS

logger = structlog.get_logger(__name__)

_REPLY_SECONDS = 0.25
"""Less than the lease has left: these replies come over another connection, and may not come."""


class Inquiry:
    """Asks for one pod's recordings, one after the other."""

    def __init__(
        self, redis_log: RedisLog, seat: PodSeat, assignment: Assignment, *, wants_packing: bool
    ) -> None:
        self._logger = logger.bind(**redis_log.shown)
        self._log = redis_log
        self._assignment = assignment
        self._seat = seat
        self._wants_packing = wants_packing
        self._packing = Packing.REFUSED

    def begin(self) -> None:
        """Begin a recording: its appends are not packed yet."""
        self._packing = Packing.REFUSED

    async def make(self, appender: Appender, lease_id: str) -> bool:
        """Ask, and have the log and the appender act on it; a reply that is missing means no news.

        Pods that ask for the lease learn of a new epoch so; the recorder does not ask for it.
        Returns whether more partitions are used now, which the next tick says.
        """
        with contextlib.suppress(TimeoutError, *FAULTS):
            async with asyncio.timeout(_REPLY_SECONDS):
                claim, asked_at = self._seat.claim(may_stop=False), time.monotonic()
                partitions = self._assignment.known_partitions
                reply = await self._log.state.request_lease(ONLY_ASKING, 0, claim, partitions)
                self._log.note_epoch(reply)
                self._seat.note(reply)
                self._assignment.note(reply, asked_at)
                packing = await self._log.state.permit_packing(
                    lease_id, is_wanted=self._wants_packing
                )
                self._note(packing)
                appender.permit_packing(packing is Packing.PERMITTED)
                return await self._assignment.widen(self._log.state, lease_id)
        return False

    def _note(self, packing: Packing) -> None:
        if packing is Packing.UNREADABLE:
            self._logger.error("a pod runs whose release cannot read the packed entries of the log")
            self._log.damaged("unreadable")
        elif packing is Packing.PERMITTED and self._packing is not packing:
            self._logger.info("all pods can read packed entries: appends are packed")
        elif packing is Packing.REFUSED and self._packing is Packing.PERMITTED:
            self._logger.info(
                "not all pods are known to read packed entries: appends are not packed"
            )
        self._packing = packing
