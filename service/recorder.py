"""The story of one recording: what Pub/Sub brings -> the log, by one pod at a time.

Every pod hears and remembers; the one that holds the lease appends. A pod that takes over first
appends what the log lacks of its own memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable

import structlog

from service import commands
from service.metrics import Metrics
from service.recording import Memory, unrecorded
from service.redis_bus import Published, RedisBus
from service.redis_link import FAULTS, RedisUnavailable
from service.redis_log import Appender, LostLease, RedisLog

log = structlog.get_logger(__name__)

TICK_CHANNEL = "constellation:ticks"
LEASE_SECONDS = 2.0
"""With the retry below, a dead recorder is replaced within three seconds."""
_RENEW_SECONDS = 0.5
_MEMORY_SECONDS = 10.0
"""Less than the log's least age, by the margin within which pods hear the same: what is not in the
log any more must not be taken for what never was."""
_MEMORY_BYTES = 64 * 1024 * 1024
_CHUNK = 1_000
_MAX_UNANSWERED = 1
_GATHER_SECONDS = 0.001
"""Without it two halves of a burst take turns for ever: 5 of 8 events leave in one write, not 8."""
_KEPT = 127 / 128
"""Of what is usual, from one append to the next. With 7/8 an even stream of events is cut into ever
smaller appends: 0.76x the deliveries a CPU-second."""
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
        self._recordings = itertools.count()
        self._token = ""
        self._positioned_at = 0.0
        self._has_retired = False
        self._interruptions = 0
        self._news = asyncio.Event()
        self.holds_lease = False
        self._appender: Appender | None = None
        self._appended = 0
        """Number of the first message that was not sent to the log yet."""
        self._answered_at = 0.0
        self._gathering: asyncio.TimerHandle | None = None
        self._usual = 0.0
        """How many have lately come together, the most of them; slowly forgotten."""
        self._recorded: set[bytes] = set()
        """Positions that the predecessor had appended already, as long as they may turn up here."""
        self._renewed = self._trimmed = 0.0
        bus.on_standing = self._news.set
        bus.on_lost = self._interrupt

    def take(self, batch: list[Published]) -> None:
        """Hear one read from Pub/Sub: remember events, pass on what pods tell each other."""
        now = time.monotonic()
        told: list[Published] = []
        for channel, payload in batch:
            if channel == _TICKS:
                self._hear_tick(payload, now)
            elif channel == _COMMANDS:
                told.append((channel, payload))
            else:
                self._memory.hear(channel, payload, now)
        self._memory.forget(now)
        if self._appender is not None:
            self._append_soon(self._appender)
        if told:
            self._obey(told)

    def _hear_tick(self, name: bytes, now: float) -> None:
        if not self._memory.is_positioned:
            self._positioned_at = now
            self._news.set()
        self._memory.tick(name)

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
            self.holds_lease, self._appender = False, None
            await self._wait_for_news(_RENEW_SECONDS)

    async def hand_over(self) -> None:
        """Let the lease go for good, and tell the others; what is still unwritten they append."""
        self._has_retired = True
        if not self.holds_lease:
            return
        try:
            await self._log.keeper.release_lease(self._token)
            await self._bus.tell(commands.Handover())
        except (*FAULTS, RedisUnavailable) as error:
            log.warning("the lease could not be handed over; it expires", error=str(error))

    async def _may_record(self) -> bool:
        """Make sure that positions count, then try for the lease."""
        if self._bus.lost_at is not None or self._has_retired:
            return False
        if not self._memory.is_positioned:
            await self._tick()
            return False
        # New each time: what an earlier recording of ours still has under way must come to nothing.
        self._token = f"{self._bus.instance}.{next(self._recordings)}"
        return await self._hold_lease()

    async def _hold_lease(self) -> bool:
        listening_seconds = time.monotonic() - self._positioned_at
        return await self._log.keeper.take_lease(
            self._token, int(LEASE_SECONDS * 1000), self._bus.instance, listening_seconds
        )

    async def _record(self, tell: Callable[[], None]) -> None:
        """Append what the log lacks, then everything new, while the lease is ours."""
        try:
            await self._record_as(self._token, tell)
        finally:
            with contextlib.suppress(*FAULTS):
                await self._log.keeper.release_lease(self._token)

    async def _record_as(self, token: str, tell: Callable[[], None]) -> None:
        self._renewed, interruptions = time.monotonic(), self._interruptions
        async with self._log.open_appender(token) as appender:
            self._memory.forget(self._renewed)
            self._appended = self._memory.begin
            self._recorded = await self._log.keeper.recorded_positions(_MEMORY_SECONDS)
            if self._interruptions != interruptions:
                return
            self._appender, self.holds_lease = appender, True
            appender.on_answer = lambda: self._go_on(appender)
            self._append_news(appender)
            log.info("recording")
            overlap_until = time.monotonic() + _OVERLAP_SECONDS
            while self._interruptions == interruptions and not self._has_retired:
                tell()
                if time.monotonic() > overlap_until:
                    self._recorded = set()
                await self._keep_house()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RENEW_SECONDS):
                        await appender.lost()

    def _go_on(self, appender: Appender) -> None:
        """Take note that an answer came, and that what it brought has been delivered."""
        self._answered_at = time.monotonic()
        self._append_soon(appender)

    def _append_soon(self, appender: Appender) -> None:
        """Append now, or a moment after the last answer: what comes close together goes together.

        Each append costs Redis a script and every pod a wake-up, however much it brings. What comes
        on the heels of a delivery is seldom alone: clients answer what they were sent. When as many
        have come as usual, nothing is waited for.
        """
        waiting = self._memory.end - self._appended
        if not waiting:
            return
        if appender is not self._appender:
            return  # the subscription was interrupted
        # Not the loop's time: uvloop's stands still while a batch is written to the sockets.
        due = self._answered_at + _GATHER_SECONDS
        if waiting >= self._usual or time.monotonic() >= due:
            self._append_news(appender)
        elif self._gathering is None and appender.unanswered < _MAX_UNANSWERED:
            self._gathering = asyncio.get_running_loop().call_at(
                due, self._append_gathered, appender
            )

    def _append_gathered(self, appender: Appender) -> None:
        self._gathering = None
        if appender is self._appender:
            self._append_news(appender)

    def _append_news(self, appender: Appender) -> None:
        """Send what is new to the log, as far as Redis keeps up; the rest waits in the memory."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        while appender.unanswered < _MAX_UNANSWERED and self._appended < self._memory.end:
            fresh = self._memory.since(self._appended)[:_CHUNK]
            self._usual = max(len(fresh), self._usual * _KEPT)
            self._appended = max(self._appended, self._memory.begin) + len(fresh)
            lacking = unrecorded(fresh, self._recorded) if self._recorded else fresh
            if lacking:
                appender.append(lacking)
                self._metrics.recorded.inc(len(lacking))

    async def _keep_house(self) -> None:
        """Renew the lease and mark the stream now and then; let go what is past the window."""
        now = time.monotonic()
        if now - self._renewed >= _RENEW_SECONDS:
            self._renewed = now
            if not await self._hold_lease():
                raise LostLease
            await self._tick()
        if now - self._trimmed >= 1:
            self._trimmed = now
            await self._log.keeper.trim(self._window_seconds, self._max_entries)

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
        # Others have heard what we are missing now: they go on from before it.
        self._appender = None
        self._interruptions += 1
        self._news.set()


_TICKS = TICK_CHANNEL.encode()
_COMMANDS = commands.CHANNEL.encode()
