"""What a session has missed, from memory or read back from the log; or why it is not recovered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from constellation_ws.log import places
from constellation_ws.log.ids import LogId, parse_id
from constellation_ws.log.logs import Logs
from constellation_ws.log.places import Place
from constellation_ws.log.positions import RoomChange, Start, resume_from
from constellation_ws.messages.events import UserId
from constellation_ws.messages.frames import UNDECIDED, Frame
from constellation_ws.messages.namespaces import scope_of, standing_rooms
from constellation_ws.recovery.history import History
from constellation_ws.recovery.readback import Gone
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.replay import Replay, ReplayLimits, Walk
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable

_REACH_SECONDS = 2.0
"""How long to wait until this pod has delivered as far as a client has received."""
_DEADLINE_SECONDS = 60.0
"""How long finding what one session missed may take, including waiting and reading back."""


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
    DIVIDED = "divided"
    """A room of it was changed in another partition of the log than its events are in now: there
    is no order between the two."""
    UNREADABLE = "unreadable"
    """The record was written by another release or by something else."""
    SUPERSEDED = "superseded"
    """A later connection resumes the same session."""
    STUCK = "stuck"
    """It was resumed from the same offset repeatedly: its client makes no progress."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a session missed."""

    after: Place
    """The place after which it continues."""
    frames: list[Frame]
    rooms: set[str]
    changes: tuple[RoomChange, ...]
    """How its rooms have changed since then, without revoked rooms."""
    unsaved: set[str]
    """Rooms of which something else was written before."""
    is_repeated: bool
    """Whether it was resumed from the same offset before, and events are to be replayed."""


class MissedEvents:
    """Finds what sessions missed in all partitions of the log."""

    def __init__(
        self,
        logs: Logs,
        histories: Sequence[History],
        limits: ReplayLimits,
        partition_of: Callable[[str], int] = lambda room: 0,
    ) -> None:
        """`histories` are of the partitions, in their order.

        `partition_of` returns the partition that has what concerns a room.
        """
        self._logs = logs
        self._partition_of = partition_of
        self._histories = histories
        self._limits = limits

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
        if record.epoch.count(",") + 1 != len(self._logs):
            return ResumeOutcome.OTHER_EPOCH  # the log had fewer partitions
        presented = places.read(offset, len(self._logs)) if isinstance(offset, str) else None
        start = resume_from(record.proof, presented)
        if (outcome := await self._reach(record, start)) is not None:
            return outcome
        if places.is_behind(start.after, record.horizon):
            return ResumeOutcome.GONE
        missed = await self._missed(record, user, start.after, revoked)
        if isinstance(missed, ResumeOutcome):
            return missed
        if self._logs.epoch != record.epoch:
            return ResumeOutcome.OTHER_EPOCH
        if any(_is_uncertain(replay, start, number) for number, replay in enumerate(missed)):
            return ResumeOutcome.UNPROVEN
        if not all(self._is_in_place(replay, number) for number, replay in enumerate(missed)):
            return ResumeOutcome.DIVIDED
        return self._found(record, start.after, missed, revoked)

    async def _reach(self, record: SessionRecord, start: Start) -> ResumeOutcome | None:
        """Wait until this pod can tell what a session missed; return why it cannot, if so.

        Raises RedisUnavailable.
        """
        # What another pod has sent may be ahead of what this one has delivered.
        is_any_uncertain = start.uncertain_until is None
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                epoch, last = await self._confirmed()
                if epoch != record.epoch:
                    return ResumeOutcome.OTHER_EPOCH
                await self._logs.reached(places.later(start.after, record.rooms_at))
                if is_any_uncertain:
                    await self._logs.reached(last)
        except TimeoutError:
            # An offset of an earlier log, or an invented one.
            return ResumeOutcome.UNPROVEN if is_any_uncertain else ResumeOutcome.GONE
        except FAULTS as error:
            raise RedisUnavailable("the log cannot be looked at") from error
        return None

    def _is_in_place(self, replay: Replay, partition: int) -> bool:
        """Return whether the rooms that were changed in a partition have their events there.

        They had others when fewer partitions were in use, and one message may change several.
        """
        return all(self._partition_of(move.room) == partition for move in replay.moves)

    async def _confirmed(self) -> tuple[str, Place]:
        """Wait until it is known that no partition lacks anything now.

        Returns their epochs, and the place of the last entries. Raises what FAULTS names.
        """
        confirmed = [await one.confirmed() for one in self._histories]
        return ",".join(one.epoch for one in confirmed), places.place_of(
            one.last for one in confirmed
        )

    def _found(
        self, record: SessionRecord, after: Place, missed: Sequence[Replay], revoked: frozenset[str]
    ) -> Found:
        delivered = self._logs.delivered
        rooms = set(missed[0].rooms)
        moves = [*missed[0].moves]
        frames = missed[0].frames
        if len(missed) > 1:
            frames = _in_one_row(missed, after, delivered)
            moves = [
                move._replace(at=places.with_part(delivered, number, places.part(move.at, 0)))
                for number, replay in enumerate(missed)
                for move in replay.moves
            ]
            for move in moves:
                (rooms.add if move.is_in else rooms.discard)(move.room)
        changes = [*record.changes, *moves]
        return Found(
            after,
            frames,
            rooms - revoked,
            tuple(
                one
                for one in changes
                if places.is_behind(after, one.at) and one.room not in revoked
            ),
            {*(change.room for change in changes), *revoked},
            is_repeated=bool(frames) and after == record.proof.begin,
        )

    async def _missed(
        self, record: SessionRecord, user: UserId, start: Place, revoked: Set[str]
    ) -> list[Replay] | ResumeOutcome:
        """Find what a session missed after `start`, in each partition.

        Entries that ended its membership may be older than the offset that it presents. There is no
        `await` between finding and returning. Raises RedisUnavailable.
        """
        histories = self._histories
        begun = [history.starts for history in histories]
        walks: list[Walk] = []
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                for number, history in enumerate(histories):
                    walk = self._walk(record, user, start, revoked, number)
                    while not await history.is_through(walk):
                        if not await history.lead(walk):
                            walk = self._walk(record, user, start, revoked, number)
                    walks.append(walk)
                await self._catch_up(walks)
        except TimeoutError:
            return ResumeOutcome.TOO_MUCH
        except Gone:
            return ResumeOutcome.GONE
        if [history.starts for history in histories] != begun:
            return ResumeOutcome.GONE  # the log was replaced meanwhile
        return ResumeOutcome.TOO_MUCH if self._is_too_much(walks) else [one.end() for one in walks]

    async def _catch_up(self, walks: Sequence[Walk]) -> None:
        """Bring all walks to where this pod has delivered to, at once: each was there before the
        next one began. Raises Gone and RedisUnavailable."""
        if len(walks) == 1:
            return
        pairs = list(zip(self._histories, walks, strict=True))
        while not all(walk.is_too_much or history.is_at_end(walk) for history, walk in pairs):
            for history, walk in pairs:
                if not await history.is_through(walk):
                    raise Gone  # memory has been forgotten from under it

    def _is_too_much(self, walks: Sequence[Walk]) -> bool:
        size, count = sum(one.size for one in walks), sum(one.count for one in walks)
        return size > self._limits.max_bytes or count > self._limits.max_events

    def _walk(
        self, record: SessionRecord, user: UserId, start: Place, revoked: Set[str], partition: int
    ) -> Walk:
        """Begin a walk. Events of a revoked room are not replayed, however old they are."""
        standing = standing_rooms(scope_of(record.sid), user)
        rooms = {*standing, *record.rooms}.difference(revoked)
        changes = [
            change._replace(at=places.part(change.at, partition))
            for change in record.changes
            if change.room not in revoked
        ]
        rooms_at, seen = places.part(record.rooms_at, partition), places.part(start, partition)
        return Walk(record.sid, rooms, changes, rooms_at=rooms_at, seen=seen, limits=self._limits)


def _in_one_row(missed: Sequence[Replay], after: Place, delivered: Place) -> list[Frame]:
    """Put the events of all partitions one behind the other, with the offsets for this order.

    Where a client has come to in it is the end of the partitions before, and the beginning of those
    that follow.
    """
    frames: list[Frame] = []
    place = after
    for number, replay in enumerate(missed):
        rest = places.rest_of_offset(place, number)
        frames += [frame.at(frame.offset + rest) for frame in replay.frames]
        place = places.with_part(place, number, places.part(delivered, number))
    return frames


def _is_uncertain(replay: Replay, start: Start, partition: int) -> bool:
    """Return whether it is unknown if some event has arrived."""
    if start.uncertain_until is None:
        return bool(replay.frames)
    until: LogId = places.part(start.uncertain_until, partition)
    after = places.part(start.after, partition)
    return any((parse_id(frame.offset) or after) <= until for frame in replay.frames)
