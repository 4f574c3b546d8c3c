"""What a session has missed: from this pod's memory, read back from the log, or why not at all."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Collection
from enum import StrEnum

from service.history import (
    Entry,
    History,
    LogId,
    Read,
    Replay,
    ReplayLimits,
    entries_of,
    parse_id,
    replay,
)
from service.redis_log import RedisLog
from service.session_store import SessionRecord

_REACH_SECONDS = 2.0
"""How long a client that is ahead of this pod's view of the log is waited for."""
_READ_ATTEMPTS = 5


class Outcome(StrEnum):
    """What became of an attempt to resume."""

    RECOVERED = "recovered"
    UNKNOWN = "unknown"
    """No such session for this user: expired, never written, or another user's."""
    GONE = "gone"
    """The log no longer reaches back to where the client was."""
    TOO_MUCH = "too_much"
    UNPROVEN = "unproven"
    """What the client has seen of what it was sent cannot be known."""
    ACCESS_UNAVAILABLE = "access_unavailable"
    """Whether it may still be in one of its rooms cannot be told."""
    UNAVAILABLE = "unavailable"


class Backlog:
    """Finds what sessions missed in one log."""

    def __init__(
        self,
        redis_log: RedisLog,
        history: History,
        read: Read,
        unmoving: frozenset[bytes],
        limits: ReplayLimits,
    ) -> None:
        """`unmoving` are channels of which no event changes who is in a room."""
        self._log = redis_log
        self._history = history
        self._read = read
        self._unmoving = unmoving
        self._limits = limits

    async def find(
        self, record: SessionRecord, offset: object, lost: frozenset[str] | None
    ) -> tuple[LogId, Replay] | Outcome:
        """Find what a session missed, up to what this pod has delivered by now, and since when.

        `lost` are rooms that it may be in no more, None where that cannot be told. Nothing waits
        between the finding and the return: what is delivered later is not in it. Raises
        RedisUnavailable.
        """
        if lost is None:
            return Outcome.ACCESS_UNAVAILABLE
        start = parse_id(record.position)
        claimed = parse_id(offset) if isinstance(offset, str) else None
        if start is None:
            return Outcome.UNKNOWN
        start = max(start, claimed or start)
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                await self._log.reached(start)
        except TimeoutError:
            return Outcome.GONE  # of a log that is no more, or made up
        rooms_at = parse_id(record.rooms_at) or start
        # What ended its membership may lie before what it says that it has seen.
        missed = await self._entries_after(min(start, rooms_at))
        # From here on nothing waits: what is delivered later reaches the member as one of its room.
        if isinstance(missed, Outcome):
            return missed
        if rooms_at < start:
            missed = worth_walking(missed, start, self._unmoving)
        rooms = [room for room in record.rooms if room not in lost]
        joined = {
            room: parse_id(record.joined[room]) or start for room in rooms if room in record.joined
        }
        result = replay(
            record.sid, rooms, joined, rooms_at, missed, self._read, self._limits, seen=start
        )
        if result is None:
            return Outcome.TOO_MUCH
        if claimed is None and not record.is_exact and result.frames:
            return Outcome.UNPROVEN
        return start, result

    async def _entries_after(self, start: LogId) -> list[Entry] | Outcome:
        """Give what was delivered after `start`, read back where it is not at hand any more."""
        for _ in range(_READ_ATTEMPTS):
            floor = self._history.floor
            older = await self._log.read_between(start, floor) if start < floor else []
            if older is None:
                return Outcome.GONE
            self._history.prepend(older, start, floor)
            missed = self._history.after(start)
            if missed is not None:
                return missed
            if self._history.floor == floor:  # there was no room for them
                return [*entries_of(older), *(self._history.after(floor) or [])]
            # Another resume has read back some of it meanwhile, or this pod has forgotten more.
        return Outcome.TOO_MUCH


def worth_walking(entries: list[Entry], seen: LogId, unmoving: Collection[bytes]) -> list[Entry]:
    """Leave out what a client has seen, save what may have moved it out of a room or into one.

    The session of a pod that was killed may have been written half a minute ago: walking all of it
    for each of thousands who come back would keep the others waiting.
    """
    first = bisect_right(entries, seen, key=lambda entry: entry.id)
    moving = [entry for entry in entries[:first] if entry.logged[1] not in unmoving]
    return moving + entries[first:]
