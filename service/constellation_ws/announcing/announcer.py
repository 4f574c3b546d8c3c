"""Announces who came online and who went offline, each once in the cluster.

Every pod writes its own users to the record, and looks there every second: to show that it lives,
to find out what Redis has lost, and for shares of pods that are gone, whose users it announces as
offline. Who is online here is reported by presence, after its grace for reconnects.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import structlog

from constellation_ws.announcing.changes import Changes
from constellation_ws.announcing.record import CHUNK, POD_LOST, Counts, Known, Record
from constellation_ws.announcing.trouble import Trouble
from constellation_ws.messages.events import UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""How long users of a share that is withdrawn have to be in another one, and how long after a loss
who leaves is not announced: other pods have to write their users again first."""
_STEP_SECONDS = 0.25
_PACE_SECONDS = 0.01
"""Between two chunks: others use Redis and the event loop meanwhile."""
_RETRY_SECONDS = 1.0
_CHUNKS_PER_LOOK = 50
DRAIN = "drain"
"""The reason for users of a pod that has stopped, as in `constellation_disconnects_total`."""


class Announcer:
    """This pod's part in it. `run` must run in one task."""

    def __init__(self, record: Record, instance: str, metrics: Metrics) -> None:
        self._record = record
        self._instance = instance
        self._events = metrics.presence_events
        self._changes = Changes()
        self._generation = 0
        self._known: Known | None = None
        """None until the share is registered."""
        self._has_withdrawn = False
        self._look_at = 0.0
        self._leaves_at = 0.0
        """When who leaves is written, after a loss."""
        self._trouble = Trouble(
            metrics.presence_failures,
            "online and offline cannot be announced now; it is tried again",
            "online and offline are announced again",
        )

    def came(self, user: UserId) -> None:
        """Note that a user is on this pod."""
        self._changes.came(user)

    def went(self, user: UserId, reason: str) -> None:
        """Note that a user has been away from this pod for longer than a reconnect takes."""
        self._changes.went(user, reason)

    @property
    def unwritten(self) -> int:
        """Changes that are not in Redis yet."""
        return self._changes.unwritten

    async def run(self) -> None:
        """Write and look, for ever."""
        while True:
            try:
                seconds = await self._step(time.monotonic())
            except RedisUnavailable as error:
                self._trouble.note("redis", str(error))
                seconds = _RETRY_SECONDS * (0.5 + random.random())
            else:
                self._trouble.end()
            await asyncio.sleep(seconds)

    async def withdraw(self) -> None:
        """Leave this pod's users to the others: nothing is written after it."""
        self._has_withdrawn = True
        try:
            await self._record.withdraw(self._share, GRACE_SECONDS, DRAIN)
        except RedisUnavailable as error:
            logger.warning(
                "presence could not be handed over; its users go offline later", error=str(error)
            )

    @property
    def _share(self) -> str:
        """Name this pod's share of the record. After a loss it gets a new one."""
        return f"{self._instance}.{self._generation}"

    async def _step(self, now: float) -> float:
        """Do what is due; say after how many seconds there is more to do."""
        if self._has_withdrawn:
            return _STEP_SECONDS
        known = self._known
        if known is None or now >= self._look_at:
            await self._look(now)
            return 0
        chunk = self._changes.take(CHUNK, with_leaving=now >= self._leaves_at)
        if not chunk:
            return _STEP_SECONDS
        written = await self._record.write(self._share, chunk, known.writes)
        if written is None:
            self._look_at = 0
            return _PACE_SECONDS
        self._changes.wrote(chunk, now)
        self._count(written.counts)
        self._known = replace(known, writes=written.writes)
        return _PACE_SECONDS

    async def _look(self, now: float) -> None:
        known = self._known
        look = await self._record.look(self._share, known)
        if known is not None:
            if look.is_late(known):
                self._changes.unsettle(now)
            is_lost = look.known.epoch != known.epoch
            differs = self._changes.recorded not in (None, look.users)
            if is_lost or differs or not look.was_registered:
                # What was announced of users who have left is known only to a pod that finds their
                # share expired: that it did, the epoch that goes on is proof.
                await self._start_over(now, is_lost=is_lost or look.was_registered)
                return
        self._known = look.known
        self._look_at = now + LOOK_SECONDS * (0.75 + random.random() / 2)
        if look.expired:
            await self._remove(look.expired)

    async def _start_over(self, now: float, *, is_lost: bool) -> None:
        """Write all users into a new share. The old one expires, if it is there at all."""
        logger.warning("the record of who is online was lost; this pod's users are written again")
        old = self._share
        self._generation += 1
        self._known = None
        self._changes.start_over(is_lost=is_lost)
        if is_lost:
            self._leaves_at = now + GRACE_SECONDS
        await self._record.withdraw(old, GRACE_SECONDS, POD_LOST)

    async def _remove(self, expired: str) -> None:
        """Announce the users of a share that has expired, unless they are in another one."""
        offline = 0
        for _ in range(_CHUNKS_PER_LOOK):
            is_done, counts = await self._record.remove(expired)
            self._count(counts)
            offline += counts.offline
            if is_done:
                break
            await asyncio.sleep(_PACE_SECONDS)
        else:
            self._look_at = 0  # at once, with a look in between: this pod must show that it lives
        if offline:
            logger.info("announced the users of a pod that is gone", offline=offline)

    def _count(self, counts: Counts) -> None:
        self._events.labels("online").inc(counts.online)
        self._events.labels("offline").inc(counts.offline)
