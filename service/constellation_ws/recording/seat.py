"""This pod's seat: whether it receives events from Pub/Sub, as one of the few that do.

A pod begins as a listener, and stops only when Redis says that enough others listen: not for an
error, and not because Redis does not answer. What a seat is, and who gets one: `log/seats`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import Enum, auto

import structlog

from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.seats import Claim, Seat, SeatReply, Stand
from constellation_ws.log.state import ONLY_ASKING, LeaseReply, LogState
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.recording.standing import Debts, next_stand
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.link import FAULTS

logger = structlog.get_logger(__name__)

_COMING_SECONDS = 2.0
"""By then another pod, if there is one, has looked twice and has got a seat."""
_REPLY_SECONDS = 0.5


class _Hearing(Enum):
    """What the subscription brings."""

    EVENTS = auto()
    TICKS = auto()
    """Events no more; where the log passes ticks it is seen whether those from before are in it."""
    NOTHING = auto()


class PodSeat:
    """Claims a seat with each question to Redis, and has the subscription follow the answers."""

    def __init__(
        self,
        bus: RedisBus,
        redis_log: RedisLog,
        unrecorded: Unrecorded,
        most: int,
        first: LogState,
    ) -> None:
        """`most` pods are to listen. `first` is the state of the log's first partition."""
        self._logger = logger.bind(**redis_log.shown)
        self._bus = bus
        self._first = first
        self._log = redis_log
        self._unrecorded = unrecorded
        self._most = most
        self._stand = Stand.LISTENS
        self._hearing = _Hearing.EVENTS
        self._debts = Debts()
        self._positioned_at = self._begun_at = time.monotonic()
        self._answered = asyncio.Event()
        self._seats, self._recorder = SeatReply(Seat.LACKING, 0, 0, 0, 0), ""
        """The last answer, and which pod recorded then."""

    @property
    def is_listener(self) -> bool:
        """Whether this pod receives events."""
        return self._hearing is _Hearing.EVENTS

    @property
    def needs_ticks(self) -> bool:
        """Whether this pod has positions, or must know those that the log has passed."""
        return self._hearing is not _Hearing.NOTHING

    @property
    def listening_seconds(self) -> float | None:
        """For how long this pod has received events without a gap; None while it does not."""
        if not (self.is_listener and self._unrecorded.is_positioned):
            return None
        return time.monotonic() - self._positioned_at

    @property
    def may_record(self) -> bool:
        """Whether this pod may ask for the lease: not once Redis has said that it is to stop."""
        return self._stand in (Stand.LISTENS, Stand.LEAVES) and not self._bus.is_retired

    def note_positioned(self) -> None:
        """Note that positions are known from now on."""
        self._positioned_at = time.monotonic()

    @property
    def has_heirs(self) -> bool:
        """Whether another pod stays, or records until it leaves as well, as Redis said last."""
        return bool(self._seats.others) or self._recorder not in ("", self._bus.instance)

    # What Redis says

    def claim(self, *, may_stop: bool) -> Claim:
        """Make what this pod says of itself. `may_stop` says that it could stop now."""
        resolved = self._debts.resolved(self._unrecorded.begin)
        others_have_all = resolved == self._debts.late and not self._unrecorded.has_hole
        return Claim(
            self._bus.instance,
            self._stand,
            self._most,
            self.listening_seconds,
            resolved,
            may_stop and self.is_listener and others_have_all,
            time.monotonic() - self._begun_at,
        )

    def note(self, reply: LeaseReply) -> None:
        """Listen, or stop, as a reply says; report what listeners have lost that have died."""
        self._debts.note(reply.late_recorders, self._unrecorded.end)
        before, self._stand = self._stand, next_stand(self._stand, reply.seats.seat)
        if before is Stand.WANTS and self._stand is Stand.LISTENS:
            self._logger.info("this pod listens: it receives published events")
            self._log.comparison.resume()
            self._bus.listen(listens=True)
        elif before is Stand.LISTENS and self._stand is Stand.LOOKS:
            self._logger.info("enough other pods listen: this one follows the log alone")
            self._bus.listen(listens=False)
        if reply.seats.vanished and self._log.epoch == reply.epoch:
            self._log.lose("listener_died", reply.seats.vanished)
        self._settle()
        self._seats, self._recorder = reply.seats, reply.recorder
        self._answered.set()
        self._answered = asyncio.Event()

    def change(self, *, listens: bool) -> None:
        """Note whether the subscription brings events from here on."""
        self._hearing = _Hearing.EVENTS if listens else _Hearing.TICKS

    def _settle(self) -> None:
        """Forget Pub/Sub once nothing is open of what it has brought."""
        if self._hearing is not _Hearing.TICKS or self._stand not in (Stand.LOOKS, Stand.WANTS):
            return
        if self._unrecorded.begin == self._unrecorded.end and not self._unrecorded.has_hole:
            self._hearing = _Hearing.NOTHING
            now = time.monotonic()
            self._unrecorded.interrupt(is_lossy=False, received_at=now, noted_at=now)
            self._log.comparison.rest()

    # Leaving

    async def hand_over(self, ask_now: Callable[[], None]) -> bool:
        """Let another pod take the seat, and wait until one receives what this one does.

        Of pods that leave together the one that records is the last. `ask_now` has Redis asked
        before it is due. Returns whether this pod is the last; may wait for ever while Redis is
        away.
        """
        if self._stand in (Stand.LOOKS, Stand.WANTS):
            await self._refrain()
            return False
        if self._stand is not Stand.LISTENS:
            return False
        try:
            has_neighbours = await self._first.has_neighbours(self._bus.instance)
        except FAULTS:
            return False  # they do not reach Redis either
        self._stand, began = Stand.LEAVES, time.monotonic()
        ask_now()
        while has_neighbours or self._is_followed():
            await self._answered.wait()
            if self._seats.others:
                return False
            if self._seats.leaving and self._recorder not in ("", self._bus.instance):
                return False
            has_neighbours = has_neighbours and time.monotonic() - began <= _COMING_SECONDS
        return True

    def _is_followed(self) -> bool:
        """Return whether another pod receives events, or is about to."""
        return bool(self._seats.others or self._seats.coming or self._seats.leaving)

    def leave(self) -> None:
        """Note that this pod leaves, as another seat of it has decided."""
        if self._stand is Stand.LISTENS:
            self._stand = Stand.LEAVES

    async def _refrain(self) -> None:
        """Take no seat any more: it would count as that of a listener that has died.

        An answer that is under way may still give one, which `give_up` gives back.
        """
        wanted, self._stand = self._stand is Stand.WANTS, Stand.GONE
        if wanted:
            self._stand = Stand.LEAVES
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLY_SECONDS):
                    await self._answered.wait()

    async def give_up(self) -> None:
        """Give the seat up for good: nothing is left of what this pod has received."""
        if self._stand not in (Stand.LISTENS, Stand.LEAVES):
            return
        self._stand = Stand.GONE
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                await self._log.state.request_lease(ONLY_ASKING, 0, self.claim(may_stop=False))
        except (TimeoutError, *FAULTS) as error:
            reason = str(error) or "Redis does not answer"
            self._logger.warning("the seat of this pod could not be given up", error=reason)
