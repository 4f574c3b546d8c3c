"""Posts what was announced to the backend, from the one pod that has the lease."""

from __future__ import annotations

import asyncio
import random
import time

import structlog

from constellation_ws.announcing.outbox import Entry, Outbox, Read
from constellation_ws.announcing.progress import Outcome, Progress, count_removed, judge
from constellation_ws.announcing.receiver import NoAnswer, Receiver
from constellation_ws.announcing.trouble import Trouble
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import RedisUnavailable

logger = structlog.get_logger(__name__)

_IDLE_SECONDS = 0.25
_OTHERS_SECONDS = 3.0
"""Between two attempts to get the lease, and the longest wait of the pod that has it."""


class Poster:
    """This pod's attempts. `run` must run in one task."""

    def __init__(self, outbox: Outbox, receiver: Receiver, metrics: Metrics) -> None:
        self._outbox = outbox
        self._receiver = receiver
        self._lost = metrics.presence_lost_events
        self._progress = Progress()
        self._done: Entry | None = None
        self._has_released = False
        self._stepping = asyncio.Lock()
        self.unposted = 0
        """Events that the backend has not accepted yet; 0 on a pod that does not post."""
        self._trouble = Trouble(
            metrics.presence_failures,
            "online and offline cannot be posted to the backend now; it is tried again",
            "online and offline are posted to the backend again",
        )

    async def run(self) -> None:
        """Post, for ever, while this pod has the lease."""
        while True:
            try:
                async with self._stepping:
                    seconds = await self._step()
            except RedisUnavailable as error:
                self._trouble.note("redis", str(error))
                self.unposted = 0
                seconds = _OTHERS_SECONDS * random.random()
            await asyncio.sleep(seconds)

    async def release(self) -> None:
        """Post nothing more, and let another pod go on: after the post that is under way."""
        self._has_released = True
        try:
            async with self._stepping:
                await self._outbox.release(self._done)
        except RedisUnavailable as error:
            logger.warning("the lease of posting presence expires by itself", error=str(error))
        finally:
            await self._receiver.aclose()

    async def _step(self) -> float:
        """Post one batch, where this pod is to; say after how many seconds to go on."""
        if self._has_released:
            return _OTHERS_SECONDS
        read = await self._outbox.read(self._done, self._progress.batch)
        self._done = None
        if read is None:
            self._trouble.end()
            self._progress, self.unposted = Progress(), 0
            return _OTHERS_SECONDS * (0.5 + random.random() / 2)
        self.unposted = read.last - read.accepted
        if not read.entries:
            self._trouble.end()
            self._done = read.skipped
            return _IDLE_SECONDS
        wait = self._progress.not_before - time.monotonic()
        if wait > 0:
            return min(wait, _OTHERS_SECONDS)
        await self._post(read)
        return 0

    async def _post(self, read: Read) -> None:
        outcome, sent = await self._try(read.entries), len(read.entries)
        if self._progress.is_done(outcome, sent):
            self._done = read.entries[-1]
            if removed := count_removed(read.accepted, read.entries[0].number):
                self._lose("removed", removed)
            if outcome is Outcome.REFUSED:
                self._lose("refused", 1)
        self._progress = self._progress.after(outcome, sent, time.monotonic(), random.random())

    async def _try(self, entries: list[Entry]) -> Outcome:
        try:
            status = await self._receiver.post(one.data for one in entries)
        except NoAnswer as error:
            self._trouble.note(error.kind, str(error))
            return Outcome.FAILED
        outcome = judge(status)
        if outcome is Outcome.ACCEPTED:
            self._trouble.end()
        else:
            self._trouble.note(outcome.value, f"the backend answered {status}")
        return outcome

    def _lose(self, reason: str, events: int) -> None:
        self._lost.labels(reason).inc(events)
        logger.error("events of presence were lost for the backend", reason=reason, events=events)
