"""Recording: messages from Pub/Sub are appended to the log, by one pod at a time.

Listeners (`seat`) receive and retain; the one that holds the lease appends. A pod that gets the
lease appends the messages that it has received and the log lacks. If no pod can append a message,
the epoch ends: see `log/redis_log`. Each partition of the log has a recorder (`intake`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from constellation_ws.log.appender import Appender, LogDamaged, LostLease, Unanswered
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.state import ONLY_ASKING, Candidacy, LeaseReply
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.messages import commands
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recording.append_queue import AppendQueue
from constellation_ws.recording.assignment import Assignment
from constellation_ws.recording.barrier import Barrier, Deaf
from constellation_ws.recording.fault import RecordingFault
from constellation_ws.recording.inquiry import Inquiry
from constellation_ws.recording.lease import ANSWER_SECONDS, LEASE_SECONDS, RecorderLease, level
from constellation_ws.recording.leaving import await_recorded, left_behind, report_lost
from constellation_ws.recording.phase import RecorderEvent, RecorderPhase, next_phase
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.link import FAULTS

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""How often the recorder renews its lease and the others ask for it; each reply also names the
log's epoch."""
_STEP_SECONDS = 0.25
_TRIM_SECONDS = 1.0


class Recorder:
    """This pod's part in recording. `run` must run in one task for as long as the process lives."""

    def __init__(
        self,
        bus: RedisBus,
        redis_log: RedisLog,
        unrecorded: Unrecorded,
        seat: PodSeat,
        assignment: Assignment,
        metrics: Metrics,
        *,
        window_seconds: float,
        max_events: int,
        packs_appends: bool = False,
    ) -> None:
        """With `packs_appends` an append is one entry of the log, while all pods can read that."""
        self._bus, self.assignment = bus, assignment
        self._logger = logger.bind(**redis_log.shown)
        self.retain = unrecorded.receive
        self._log, self._unrecorded, self._seat = redis_log, unrecorded, seat
        self._metrics = metrics
        self._window_seconds, self._max_events = window_seconds, max_events
        self._inquiry = Inquiry(redis_log, seat, assignment, wants_packing=packs_appends)
        self._phase = RecorderPhase.UNSUBSCRIBED
        self._queue = AppendQueue(unrecorded, metrics, redis_log.rate)
        self._lease = RecorderLease(redis_log, bus.instance)
        self._received_at = 0.0
        """Monotonic time at which the last event was received."""
        self._news = asyncio.Event()
        self._barrier = Barrier(assignment.next_tick)
        self.hear = self._barrier.hear
        self._discarded = 0
        self.fault = RecordingFault(redis_log.shown)

    @property
    def holds_lease(self) -> bool:
        """Whether this pod is the one that appends."""
        return self._phase is RecorderPhase.RECORDING

    @property
    def is_packing(self) -> bool:
        """Whether this pod appends, and what it appends together is one entry."""
        return self._queue.is_packing

    @property
    def unrecorded_events(self) -> int:
        """How many received events this pod has not seen in the log yet."""
        return self._unrecorded.end - self._unrecorded.begin

    # What the subscription brings

    def end_read(self, *, has_events: bool) -> None:
        """Append what a read from Pub/Sub has brought, all of which is retained."""
        if has_events:
            self._received_at = time.monotonic()
        if self._phase is RecorderPhase.RECORDING:
            self._queue.append_soon()
        discarded = self._unrecorded.discarded
        if discarded != self._discarded:  # above the bound; another pod may still record them
            self._metrics.lost_events.labels("discarded").inc(discarded - self._discarded)
            self._discarded = discarded

    def interrupted(self, *, is_lossy: bool) -> None:
        """Note that the subscription ended; `is_lossy`: Redis may have sent what never arrived."""
        if self._seat.needs_ticks:
            self._interrupt(is_lossy=is_lossy and self._seat.is_listener)

    def change(self, *, listens: bool) -> None:
        """Note whether the subscription brings events from here on."""
        self._interrupt(is_lossy=False)
        self._seat.change(listens=listens)

    def _interrupt(self, *, is_lossy: bool) -> None:
        received_at, now = self._received_at, time.monotonic()
        self._unrecorded.interrupt(is_lossy=is_lossy, received_at=received_at, noted_at=now)
        self._advance(RecorderEvent.INTERRUPTED)

    def receive_tick(self, name: bytes) -> None:
        """Receive a tick: messages behind it have positions from it."""
        if not self._seat.needs_ticks:
            return
        if not self._unrecorded.is_positioned:
            self._seat.note_positioned()
            self._log.comparison.note_subscription(self._bus.run_id)
        if missing := self._unrecorded.tick(name):
            self._log.lose("passed_over", missing)
        self._barrier.note(name)
        if self._seat.is_listener:
            self._advance(RecorderEvent.POSITIONED)

    def take_over(self, handover: commands.Handover) -> None:
        """Ask for the lease now: another pod has released it."""
        if handover.unrecorded:
            self._unrecorded.note_left(handover.unrecorded.encode())
        self.assignment.note_released()
        self._news.set()

    def ask_now(self) -> None:
        """Ask Redis before it is due."""
        self._news.set()

    def begin_whole(self) -> None:
        """Note that this partition begins to be used here: nothing of it was published before."""
        self._unrecorded.forgive()
        self._news.set()

    def _advance(self, event: RecorderEvent) -> None:
        before, self._phase = self._phase, next_phase(self._phase, event)
        if self._phase is not before:
            if self._phase is not RecorderPhase.RECORDING:
                self._queue.end()
            self._news.set()

    # Asking for the lease

    async def run(self) -> None:
        """Ask for the lease, and record while this pod holds it, for ever."""
        while True:
            try:
                await self.assignment.admit(self._log.state)
                await self._try()
            except LostLease:
                self._logger.warning("another pod is the recorder now")
            except LogDamaged as error:
                self._log.damaged(str(error))
            except Deaf as error:
                self._advance(RecorderEvent.DEAF)
                self._bus.doubt()
                self.fault.note(str(error), self.unrecorded_events)
            except (TimeoutError, *FAULTS) as error:
                reason = str(error) or "Redis does not answer"
                self.fault.note(reason, self.unrecorded_events)
            finally:
                self._advance(RecorderEvent.FAILED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.assignment.poll_seconds(POLL_SECONDS)):
                    await self._news.wait()
            self._news.clear()

    async def _try(self) -> None:
        candidacy, asked_at = self._candidacy(), time.monotonic()
        self._log.comparison.note_received(asked_at)
        claim = self._seat.claim(may_stop=self._phase is RecorderPhase.CANDIDATE)
        reply = await self._lease.request(candidacy, claim, self.assignment.known_partitions)
        self._log.note(reply)
        self._seat.note(reply)
        self.assignment.note(reply, asked_at)
        if reply.is_granted:
            self.assignment.begin()
            try:
                if reply.epoch == self._log.epoch:  # else what is recorded is not known here yet
                    await self._record(candidacy.lease_id, reply)
            finally:
                self.assignment.end()
                await self._lease.release()
            await self.assignment.note_given_up()
            return
        holder = reply.holder.rpartition(".")[0]
        if self._log.epochs.fault:
            self.fault.note(self._log.epochs.fault, self.unrecorded_events)
        elif holder not in ("", self._bus.instance) or not self.assignment.is_used:
            self.fault.end()  # another pod records

    def _candidacy(self) -> Candidacy:
        """Ask for the lease only while positions are known and the log is followed."""
        listening_seconds = self._seat.listening_seconds
        is_able = self._phase is RecorderPhase.CANDIDATE and self._seat.may_record
        is_able = is_able and self.assignment.may_ask()
        if not is_able or listening_seconds is None or self._log.epoch is None:
            return ONLY_ASKING
        more_patience = self.assignment.patience_seconds
        return self._lease.candidacy(self._unrecorded, listening_seconds, more_patience)

    # Recording

    async def _record(self, lease_id: str, reply: LeaseReply) -> None:
        """Append what the log lacks, then everything new, while this pod holds the lease."""
        async with contextlib.AsyncExitStack() as held:
            async with asyncio.timeout(ANSWER_SECONDS):
                appender = await held.enter_async_context(self._log.open_appender(lease_id))
            await level(appender, self._unrecorded)
            await self._barrier.wait(appender)
            doubted, is_reported = self._unrecorded.give_up()
            if doubted:
                self._log.lose("doubted", doubted, is_reported=is_reported)
            self._log.comparison.ask()  # of those before it: the reply tells of all of them
            if self._log.comparison.has_lost(reply) or self._unrecorded.is_lossy:
                self._log.lose("interrupted", 1)
            self._unrecorded.forgive()
            self._advance(RecorderEvent.GRANTED)
            if self._phase is not RecorderPhase.RECORDING:
                return  # interrupted or retired meanwhile
            self.fault.end()
            self._logger.info("this pod is the recorder now", unrecorded=self.unrecorded_events)
            self._queue.begin(appender)
            await self._keep_on(appender, lease_id)

    async def _keep_on(self, appender: Appender, lease_id: str) -> None:
        """Renew, tick and trim until this pod stops recording. Raises why appending failed."""
        renewed = trimmed = 0.0
        self._inquiry.begin()
        while self._phase is RecorderPhase.RECORDING:
            if appender.waiting_seconds > ANSWER_SECONDS:
                raise Unanswered("Redis does not answer appends")
            now = time.monotonic()
            self._log.comparison.note_received(now)
            if now - renewed >= POLL_SECONDS:
                renewed = now
                appender.renew(LEASE_SECONDS, self._unrecorded.recorded_position)
                self._barrier.tick(appender)
                if await self._inquiry.make(appender, lease_id):
                    self._barrier.tick(appender)
            if self.assignment.gives_up():
                self._advance(RecorderEvent.FAILED)
                return
            if now - trimmed >= _TRIM_SECONDS:
                trimmed = now
                appender.trim(self._window_seconds, self._max_events)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STEP_SECONDS):
                    await appender.disconnected()

    # Ending

    async def hand_over(self) -> bool:
        """As `PodSeat.hand_over`."""
        return await self._seat.hand_over(self._news.set)

    async def prepare_to_retire(self, *, is_last: bool) -> None:
        """See what was received recorded, as long as this pod remains a candidate.

        What only this pod has received is lost if it leaves before; the last pod has to record what
        comes until the subscription has ended, which is next. `retire` follows.
        """
        self._seat.leave()
        while is_last and not self.holds_lease:
            await self._log.moved(_STEP_SECONDS)
        await await_recorded(self._log, self._unrecorded)

    async def retire(self, *, is_deaf: bool) -> None:
        """See the rest recorded, release the lease, and say what this pod may have missed."""
        await await_recorded(self._log, self._unrecorded, ANSWER_SECONDS)
        held_lease = self.holds_lease
        self._advance(RecorderEvent.RETIRED)
        left = self.unrecorded_events
        if held_lease:
            await self._lease.release()
        is_deaf = is_deaf and self._seat.is_listener
        lacks_from = left_behind(self._unrecorded, self._bus.instance, is_deaf=is_deaf)
        if held_lease or lacks_from:
            await self.assignment.notify_others(lacks_from)
        if lacks_from and not self._seat.has_heirs:
            await report_lost(self._log, left)
        if not left:
            await self._seat.give_up()
