"""What the recorder of one partition has to do with those of the others in this pod.

When it may ask for its lease, and when it gives it up (`lease_share`); and how many partitions are
in use, which the recorder of the first one asks Redis for and says to all pods (`width`).
"""

from __future__ import annotations

import asyncio
import time

import structlog

from constellation_ws.log.state import ONLY_ASKING, LeaseReply, LogState
from constellation_ws.messages.commands import Handover
from constellation_ws.recording.hold import Hold
from constellation_ws.recording.lease import ANSWER_SECONDS
from constellation_ws.recording.lease_share import MOST_WAIT_SECONDS, LeaseShare
from constellation_ws.recording.leaving import notify_others
from constellation_ws.recording.width import Width
from constellation_ws.redis_io.bus import RedisBus

logger = structlog.get_logger(__name__)


class Assignment:
    """The part of a further partition's recorder."""

    def __init__(self, partition: int, bus: RedisBus, width: Width, share: LeaseShare) -> None:
        self.partition = partition
        self._bus = bus
        self._width = width
        self._share = share
        self._free_since: float | None = None
        """Monotonic time at which the lease was found to be free."""
        self._gave_up = False

    @property
    def is_used(self) -> bool:
        """Whether events come into this partition."""
        return self.partition < self._width.current

    @property
    def known_partitions(self) -> int:
        """How many partitions are in use, for the state that has the number."""
        return 1

    @property
    def patience_seconds(self) -> float:
        """How much longer a pod that missed something waits for others than with one partition."""
        return 0.0 if self._width.is_fixed else MOST_WAIT_SECONDS

    def next_tick(self) -> bytes:
        """Return a tick that this recorder publishes."""
        return self._bus.next_tick()

    def note(self, reply: LeaseReply, asked_at: float) -> None:
        """Note what Redis said to a question of this monotonic time."""
        if not reply.is_free:
            self._free_since = None
        elif self._free_since is None:
            self._free_since = time.monotonic()

    def note_released(self) -> None:
        """Note that another pod has released the lease just now."""
        self._free_since = time.monotonic()

    def may_ask(self) -> bool:
        """Decide whether this pod may ask for the lease now."""
        return self.is_used and self._due_seconds() == 0.0

    def poll_seconds(self, most: float) -> float:
        """Return in how many seconds Redis should be asked again, `most` if nothing is due."""
        return min(most, self._due_seconds() or most)

    def _due_seconds(self) -> float | None:
        """Return in how many seconds this pod may ask for the lease; None while it is held."""
        wait = self._share.wait_seconds()
        if not wait:
            return 0.0
        if self._free_since is None:
            return None
        return max(0.0, self._free_since + wait - time.monotonic())

    def begin(self) -> None:
        """Note that this pod records."""
        self._share.begin(self.partition)

    def end(self) -> None:
        """Note that this pod does not record."""
        self._share.end(self.partition)

    async def note_given_up(self) -> None:
        """Notify others if the lease was released for their sake."""
        if self._gave_up:
            self._gave_up = False
            logger.info("this pod lets another one record", partition=self.partition)
            await self.notify_others("")

    def gives_up(self) -> bool:
        """Decide whether this pod lets another one record; then `note_given_up` has to follow."""
        self._gave_up = self._share.gives_up(self.partition, time.monotonic())
        return self._gave_up

    async def notify_others(self, unrecorded: str) -> None:
        """Let the other pods ask for the lease: it is released.

        `unrecorded` is the position from which this pod leaves received messages unrecorded, if it
        does.
        """
        await notify_others(self._bus, Handover(unrecorded, self.partition))

    async def admit(self, state: LogState) -> None:
        """Wait until it is known that this pod follows enough partitions. Raises as `state`.

        Before that it has no part in anything: a pod that ends is missed once it had a seat.
        """
        await self._width.admitted.wait()

    async def widen(self, state: LogState, lease_id: str) -> bool:
        """Have more partitions used, if this recorder is the one that does so. Raises as `state`.

        Returns whether the other pods have to be told.
        """
        return False


class FirstAssignment(Assignment):
    """The part of the first partition's recorder."""

    def __init__(
        self,
        bus: RedisBus,
        width: Width,
        share: LeaseShare,
        hold: Hold,
    ) -> None:
        super().__init__(0, bus, width, share)
        self._hold = hold

    @property
    def known_partitions(self) -> int:
        return max(self._width.known, self._width.current)

    def next_tick(self) -> bytes:
        return self._bus.next_tick() + self._width.mark()

    def note(self, reply: LeaseReply, asked_at: float) -> None:
        """As for others; raises TooFewPartitions."""
        super().note(reply, asked_at)
        if reply.epoch:
            self._width.note(reply.partitions)
            self._share.note_pods(reply.seats.others + 1, time.monotonic())
            self._hold.confirm(reply, asked_at)

    async def admit(self, state: LogState) -> None:
        """As for others; raises TooFewPartitions, and TimeoutError."""
        if not self._width.admitted.is_set():
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await state.request_lease(ONLY_ASKING, 0)
            self._width.note(reply.partitions)

    async def widen(self, state: LogState, lease_id: str) -> bool:
        width = self._width
        if width.known >= width.most:
            return False
        width.note(await state.widen(lease_id, width.most))
        if width.known < width.most:
            return False
        logger.info("all pods follow more partitions of the log: they are used", count=width.most)
        return True
