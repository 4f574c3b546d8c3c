"""The record in Redis of who was announced as online: what calls `scripts`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from constellation_ws.announcing.changes import Change
from constellation_ws.announcing.scripts import LOOK, REMOVE, WITHDRAW, WRITE
from constellation_ws.redis_io.faults import FAULTS
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.redis_io.names import Names

MAX_ENTRIES = 100_000
"""Announcements that the stream keeps, about 20 MiB; the oldest are removed first."""
LIFETIME_SECONDS = 20.0
"""How long a share lasts after its pod has last looked: as long as the pod counts in presence."""
PAUSE_SECONDS = 5.0
"""Pods look every second. After a longer pause, which is Redis' fault, no share is removed until
its pod has had the time to look."""
CHUNK = 100
"""Users that one script handles: one or two milliseconds of Redis."""
POD_LOST = "pod_lost"
_ANSWER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one script has announced."""

    online: int
    offline: int


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a write."""

    counts: Counts
    writes: int
    """How often the share was written, or looked at, this time included."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What came of removing some users of a share."""

    counts: Counts
    cursor: str | None
    """Where to go on; None where nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a pod knows of its share."""

    epoch: str
    writes: int
    """How often it was written, or looked at, as Redis has answered; perhaps more often."""
    until_ms: int
    """When it expires, by the clock of Redis."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the record says of this pod's share, and which other one has expired."""

    was_registered: bool
    users: int
    expired: str
    """The entry of a share whose users are to be removed; empty where there is none."""
    known: Known
    """What is known of this pod's share now."""

    def is_late(self, known: Known) -> bool:
        """Tell whether the share had expired since it was known, so that others may remove it."""
        return self.known.until_ms - known.until_ms >= _milliseconds(LIFETIME_SECONDS)


class Record:
    """All that is done to it. Every method raises RedisUnavailable, and may then have been done."""

    def __init__(self, redis: Redis, names: Names) -> None:
        """`redis` may try again: nothing is announced twice by that."""
        self._names = names
        self._write: Any = redis.register_script(WRITE)
        self._remove: Any = redis.register_script(REMOVE)
        self._look: Any = redis.register_script(LOOK)
        self._withdraw: Any = redis.register_script(WITHDRAW)
        self._sequence = 0
        """That of the last announcement, as far as this pod knows. Redis may lose it."""

    async def write(self, share: str, chunk: Sequence[Change], writes: int) -> Written | None:
        """Write who came and went; None, and nothing is done, where the share is not as it was.

        It was written at least so often.
        """
        words = [word for one in chunk for word in (one.kind.value, one.user, one.cause.reason)]
        async with answering():
            is_there, online, offline, writes, sequence = await self._write(
                keys=self._keys(share), args=[*self._head(share), writes, *words]
            )
        self._sequence = max(self._sequence, int(sequence))
        return Written(Counts(online, offline), writes) if is_there else None

    async def remove(self, expired: str, cursor: str) -> Removed:
        """Remove some users of an expired share, first with an empty `cursor`."""
        share = expired.partition(" ")[0]
        async with answering():
            following, online, offline = await self._remove(
                keys=self._keys(share), args=[*self._head(expired), CHUNK, POD_LOST, cursor]
            )
        cursor_or_none = None if following is None else bytes(following).decode()
        return Removed(Counts(online, offline), cursor_or_none)

    async def look(self, share: str, known: Known | None) -> Look:
        """Say that this pod lives, and look; register its share where nothing is known of it."""
        names = self._names
        words = [
            share,
            _milliseconds(LIFETIME_SECONDS),
            _milliseconds(PAUSE_SECONDS),
            secrets.token_hex(8),
            *(("", 0, 0) if known is None else (known.epoch, known.writes, known.until_ms)),
            self._sequence,
        ]
        async with answering():
            is_there, epoch, users, expired, writes, until_ms, sequence = await self._look(
                keys=[
                    names.shares,
                    names.share(share),
                    names.presence_state,
                    names.announced,
                ],
                args=words,
            )
        self._sequence = max(self._sequence, int(sequence))
        now_known = Known(bytes(epoch).decode(), writes, until_ms)
        return Look(bool(is_there), users, bytes(expired).decode(), now_known)

    async def withdraw(self, share: str, seconds: float, reason: str) -> None:
        """Let a share expire after so long; its users who are nowhere else then leave."""
        words = [share, _milliseconds(seconds), reason]
        async with answering():
            await self._withdraw(keys=[self._names.shares], args=words)

    def _keys(self, share: str) -> list[str]:
        names = self._names
        return [
            names.shares,
            names.share(share),
            names.announced,
            names.presence_state,
            names.presence_events,
        ]

    def _head(self, share: str) -> list[object]:
        return [share, self._names.presence_channel, MAX_ENTRIES]


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Wait so long for Redis. Raises RedisUnavailable."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise RedisUnavailable("Redis does not answer") from error
    except FAULTS as error:
        raise RedisUnavailable(str(error) or type(error).__name__) from error


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
