"""The story of one recording: what Pub/Sub brings -> the log, by one pod at a time.

Every pod hears and remembers; the one that holds the lease appends. A pod that takes over first
appends what the log lacks of its own memory.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import structlog

from service import commands
from service.metrics import Metrics
from service.recording import Heard, Memory, TailReader, unrecorded
from service.redis_bus import Published, RedisBus
from service.redis_link import FAULTS, RedisUnavailable
from service.redis_log import LostLease, RedisLog

log = structlog.get_logger(__name__)

TICK_CHANNEL = "constellation:ticks"
LEASE_SECONDS = 2.0
"""With the retry below, a dead recorder is replaced within three seconds."""
_RENEW_SECONDS = 0.5
_MEMORY_SECONDS = 15.0
_MEMORY_BYTES = 64 * 1024 * 1024
_CHUNK = 1_000
_OVERLAP_SECONDS = 10.0
"""How long after a take-over the predecessor's last entries may still turn up in our stream."""


class Recorder:
    """This pod's part in recording. `run` must run in one task for as long as the process lives."""

    def __init__(
        self,
        bus: RedisBus,
        redis_log: RedisLog,
        metrics: Metrics,
        *,
        obey: Callable[[list[Published]], None],
        window_seconds: float,
        max_entries: int,
    ) -> None:
        self._bus = bus
        self._log = redis_log
        self._metrics = metrics
        self._obey = obey
        self._window_seconds = window_seconds
        self._max_entries = max_entries
        self._memory = Memory(_MEMORY_SECONDS, _MEMORY_BYTES)
        self._ticks = itertools.count()
        self._news = asyncio.Event()
        self.holds_lease = False
        self._renewed = self._trimmed = 0.0
        bus.on_standing = self._news.set
        bus.on_lost = self._interrupt

    def take(self, batch: list[Published]) -> None:
        """Hear one read from Pub/Sub: remember events, pass on what pods tell each other."""
        now = time.monotonic()
        told: list[Published] = []
        for channel, payload in batch:
            if channel == _TICKS:
                self._memory.tick(payload)
            elif channel == _COMMANDS:
                told.append((channel, payload))
            else:
                self._memory.hear(channel, payload, now)
        self._memory.forget(now)
        self._news.set()
        if told:
            self._obey(told)

    def nudge(self) -> None:
        """Try for the lease now: its holder has let it go."""
        self._news.set()

    async def run(self, tell: Callable[[], None]) -> None:
        """Record whenever the lease can be had, for ever; `tell` after each try."""
        while True:
            tell()
            try:
                if await self._may_record():
                    await self._record(tell)
            except LostLease:
                log.warning("another pod records now")
            except FAULTS as error:
                log.debug("recording was interrupted", error=str(error))
            except RedisUnavailable as error:
                log.debug("recording was interrupted", error=str(error))
            self.holds_lease = False
            await self._wait_for_news(_RENEW_SECONDS)

    async def hand_over(self) -> None:
        """Let the lease go, after all that was heard has been appended, and tell the others."""
        if not self.holds_lease:
            return
        try:
            await self._log.release_lease(self._bus.instance)
            await self._bus.tell(commands.Handover())
        except (*FAULTS, RedisUnavailable) as error:
            log.warning("the lease could not be handed over; it expires", error=str(error))

    async def _may_record(self) -> bool:
        """Make sure that positions count, then try for the lease."""
        if self._bus.lost_at is not None:
            return False
        if not self._memory.is_positioned:
            await self._tick()
            return False
        return await self._log.take_lease(self._bus.instance, int(LEASE_SECONDS * 1000))

    async def _record(self, tell: Callable[[], None]) -> None:
        """Append what the log lacks, then everything new, while the lease is ours."""
        begun = self._renewed = time.monotonic()
        heard_until = self._memory.end
        heard = self._memory.since(0)
        recorded = await self._read_tail(heard)
        await self._append(unrecorded(heard, recorded))
        self.holds_lease = True
        log.info("recording", caught_up=len(unrecorded(heard, recorded)))
        while self._bus.lost_at is None and self._memory.is_positioned:
            tell()
            fresh, heard_until = self._memory.since(heard_until), self._memory.end
            if fresh and time.monotonic() - begun < _OVERLAP_SECONDS:
                fresh = unrecorded(fresh, recorded)
            await self._append(fresh)
            await self._keep_house()
            if self._memory.end == heard_until:
                await self._wait_for_news(_RENEW_SECONDS)
        await self._log.release_lease(self._bus.instance)

    async def _read_tail(self, heard: list[Heard]) -> set[bytes]:
        tail = TailReader(heard)
        async for position in self._log.recorded_positions():
            tail.take(position)
            if tail.is_done:
                break
        return tail.positions

    async def _append(self, heard: list[Heard]) -> None:
        for at in range(0, len(heard), _CHUNK):
            chunk = heard[at : at + _CHUNK]
            await self._log.record(self._bus.instance, chunk)
            self._metrics.recorded.inc(len(chunk))

    async def _keep_house(self) -> None:
        """Renew the lease and mark the stream now and then; let go what is past the window."""
        now = time.monotonic()
        if now - self._renewed >= _RENEW_SECONDS:
            self._renewed = now
            if not await self._log.take_lease(self._bus.instance, int(LEASE_SECONDS * 1000)):
                raise LostLease
            await self._tick()
        if now - self._trimmed >= 1:
            self._trimmed = now
            await self._log.trim(self._window_seconds, self._max_entries)

    async def _tick(self) -> None:
        name = b"%b.%d" % (self._bus.instance.encode(), next(self._ticks))
        await self._bus.publish(TICK_CHANNEL, name)

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _interrupt(self) -> None:
        self._memory.interrupt()
        self._news.set()


_TICKS = TICK_CHANNEL.encode()
_COMMANDS = commands.CHANNEL.encode()
