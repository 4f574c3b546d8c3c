"""What a session has missed, from memory or read back from the log; or why it is not recovered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from enum import StrEnum

from constellation_ws.log.confirmation import LogConfirmation
from constellation_ws.log.ids import LogId, parse_id
from constellation_ws.log.positions import RoomChange, Start, resume_from
from constellation_ws.log.recent_entries import RecentEntries
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.messages.events import UserId
from constellation_ws.messages.frames import UNDECIDED, Frame
from constellation_ws.messages.namespaces import scope_of, standing_rooms
from constellation_ws.recovery.readback import WORK_UNIT, Gone, Readback
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.replay import DecodedEntries, Read, Replay, ReplayLimits, Walk
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable

_REACH_SECONDS = 2.0
"""How long to wait until this pod has delivered as far as a client has received."""
_DEADLINE_SECONDS = 60.0
"""How long finding what one session missed may take, including waiting and reading back."""
_HOT_BYTES = 8 * 1024 * 1024
_TICK_SECONDS = 0.25
_UNITS_PER_TICK = 5
"""The index keeps up with two thousand events a second, at about a hundredth of a core."""
_FLOOD_PER_TICK = 1_000
"""Entries in one tick above which indexing waits: most of them are discarded before a session needs
them, and a session that does indexes them then."""
_MARGIN_SECONDS = 10.0
"""Kept beyond the window in which sessions can be resumed."""


class ResumeOutcome(StrEnum):
    """What became of an attempt to resume."""

    RECOVERED = "recovered"
    UNKNOWN = "unknown"
    """No such session for this user: expired, never written, or another user's."""
    GONE = "gone"
    """The log no longer has all entries after the client's offset."""
    TOO_MUCH = "too_much"
    UNPROVEN = "unproven"
    """It is not known which of the sent events the client has received."""
    ACCESS_UNAVAILABLE = "access_unavailable"
    """It is not known whether it may still be in one of its rooms."""
    UNAVAILABLE = "unavailable"
    OTHER_EPOCH = "other_epoch"
    """Events were lost since: nobody can say whether some were its."""
    UNREADABLE = "unreadable"
    """The record was written by another release or by something else."""
    SUPERSEDED = "superseded"
    """A later connection resumes the same session."""
    STUCK = "stuck"
    """It was resumed from the same offset repeatedly: its client makes no progress."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a session missed."""

    after: LogId
    """The entry after which it continues."""
    frames: list[Frame]
    rooms: set[str]
    changes: tuple[RoomChange, ...]
    """How its rooms have changed since then, without revoked rooms."""
    unsaved: set[str]
    """Rooms of which something else was written before."""
    is_repeated: bool
    """Whether it was resumed from the same offset before, and events are to be replayed."""


class MissedEvents:
    """Finds what sessions missed in one log. `run`, `read_back` and `confirm` must run in one task
    each while the process lives."""

    def __init__(
        self,
        redis_log: RedisLog,
        recent: RecentEntries,
        read: Read,
        limits: ReplayLimits,
        window_seconds: float,
    ) -> None:
        """Nobody resumes from before the window."""
        self._log = redis_log
        confirmation = LogConfirmation(redis_log)
        self._confirmed, self.confirm = confirmation.epoch, confirmation.run
        self._recent = recent
        self._limits = limits
        self._keep_ms = int((window_seconds + _MARGIN_SECONDS) * 1000)
        self._entries = DecodedEntries(read, _HOT_BYTES)
        readback = Readback(redis_log.reader, recent, self._entries)
        self._lead, self.read_back = readback.lead, readback.run
        self._lock = asyncio.Lock()
        """Held by one resume at a time: each of two thousand at once would block the event loop for
        one work unit only, but all of them together for seconds."""
        self._seen_last: LogId | None = None
        self._seen_last_at = 0.0

    async def find(
        self, record: SessionRecord, user: UserId, offset: object, revoked: frozenset[str] | None
    ) -> Found | ResumeOutcome:
        """Find what a session missed, up to what this pod has delivered by now, and since when.

        `revoked` are rooms that it may not be in any more, None if that is not known. There is no
        `await` between finding and returning: events that are delivered later are not included.
        Raises RedisUnavailable.
        """
        if revoked is None:
            return ResumeOutcome.ACCESS_UNAVAILABLE
        if isinstance(offset, str) and offset.endswith(UNDECIDED):
            return ResumeOutcome.UNPROVEN
        presented = parse_id(offset) if isinstance(offset, str) else None
        start = resume_from(record.proof, presented)
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                epoch = await self._confirmed()
                if epoch != record.epoch:
                    return ResumeOutcome.OTHER_EPOCH
                await self._log.reached(max(start.after, record.rooms_at))
        except TimeoutError:
            return ResumeOutcome.GONE  # of an earlier log, or invented
        except FAULTS as error:
            raise RedisUnavailable("the log cannot be looked at") from error
        if start.after < record.horizon:
            return ResumeOutcome.GONE
        missed = await self._missed(record, user, start.after, revoked)
        if isinstance(missed, ResumeOutcome):
            return missed
        if self._log.epoch != epoch:
            return ResumeOutcome.OTHER_EPOCH
        if any(_is_uncertain(frame, start) for frame in missed.frames):
            return ResumeOutcome.UNPROVEN
        return self._found(record, start.after, missed, revoked)

    def _found(
        self, record: SessionRecord, after: LogId, missed: Replay, revoked: frozenset[str]
    ) -> Found:
        changes = [*record.changes, *missed.moves]
        return Found(
            after,
            missed.frames,
            missed.rooms - revoked,
            tuple(one for one in changes if one.at > after and one.room not in revoked),
            {*(change.room for change in changes), *revoked},
            is_repeated=bool(missed.frames) and after == record.proof.begin,
        )

    async def _missed(
        self, record: SessionRecord, user: UserId, start: LogId, revoked: Set[str]
    ) -> Replay | ResumeOutcome:
        """Find what a session missed after `start`.

        Entries that ended its membership may be older than the offset that it presents. There is no
        `await` between finding and returning. Raises RedisUnavailable.
        """
        starts = self._recent.starts
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                walk = self._walk(record, user, start, revoked)
                while not await self._is_through(walk):
                    if not await self._lead(walk):
                        walk = self._walk(record, user, start, revoked)
        except TimeoutError:
            return ResumeOutcome.TOO_MUCH
        except Gone:
            return ResumeOutcome.GONE
        if self._recent.starts != starts:
            return ResumeOutcome.GONE  # the log was replaced meanwhile
        return ResumeOutcome.TOO_MUCH if walk.is_too_much else walk.end()

    def _walk(self, record: SessionRecord, user: UserId, start: LogId, revoked: Set[str]) -> Walk:
        """Begin a walk. Events of a revoked room are not replayed, however old they are."""
        standing = standing_rooms(scope_of(record.sid), user)
        rooms = {*standing, *record.rooms}.difference(revoked)
        changes = [change for change in record.changes if change.room not in revoked]
        return Walk(
            record.sid, rooms, changes, rooms_at=record.rooms_at, seen=start, limits=self._limits
        )

    async def _is_through(self, walk: Walk) -> bool:
        """Walk through memory to its end; False if memory begins after the walk's cursor."""
        recent, find = self._recent, self._entries.concerned
        async with self._lock:
            await asyncio.sleep(0)
            budget, before = WORK_UNIT, 0
            while walk.cursor >= recent.lower_bound:
                left = recent.unindexed(walk.cursor)
                if left >= before > 0:
                    budget *= 2  # more is delivered than was indexed
                before = left
                is_indexed = recent.index(find, budget, walk.cursor)
                if (walk.advance(recent, self._entries, budget) and is_indexed) or walk.is_too_much:
                    return True
                await asyncio.sleep(0)
        return False

    async def run(self, report_alive: Callable[[], None]) -> None:
        """Index and discard recent entries, for ever; `report_alive` is called at each step."""
        while True:
            appended = self._recent.appended
            await asyncio.sleep(_TICK_SECONDS)
            report_alive()
            self.expire(time.monotonic())
            if self._recent.appended - appended <= _FLOOD_PER_TICK:
                await self._index_some()

    async def _index_some(self) -> None:
        for _ in range(_UNITS_PER_TICK):
            if self._recent.index(self._entries.concerned, WORK_UNIT):
                return
            await asyncio.sleep(0)

    def expire(self, now_seconds: float) -> None:
        """Discard entries that are older than the recovery window, also while no new ones come.

        Log IDs can only be compared with the log's own time: that of the last entry, plus the time
        since then by this process's monotonic clock.
        """
        last = self._recent.last
        if last != self._seen_last:
            self._seen_last, self._seen_last_at = last, now_seconds
        idle_ms = int((now_seconds - self._seen_last_at) * 1000)
        self._recent.expire(last[0] + idle_ms, self._keep_ms)
        self._entries.expire()


def _is_uncertain(frame: Frame, start: Start) -> bool:
    """Return whether it is unknown if an event has arrived."""
    if start.uncertain_until is None:
        return True
    return (parse_id(frame.offset) or start.after) <= start.uncertain_until
