"""The stream of announcements as the posting pod reads it: one pod at a time, by a lease."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from constellation_ws.announcing.record import answering
from constellation_ws.announcing.scripts import POSTING, RELEASE
from constellation_ws.redis_io.names import Names

LEASE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One announcement."""

    id: str
    number: int
    """One more than that of the entry before it."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """What this pod is to post next."""

    accepted: int
    """Number of the last entry that the backend has accepted, or that is lost."""
    last: int
    """Number of the last entry that there is."""
    entries: list[Entry]
    skipped: Entry | None
    """The last entry read, where all of them are of others and nothing is to be posted."""


class Outbox:
    """Every method raises RedisUnavailable."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._token = secrets.token_hex(8)
        self._keys = [names.posting, names.presence_events, names.presence_state]
        self._read: Any = redis.register_script(POSTING)
        self._release: Any = redis.register_script(RELEASE)

    async def read(self, done: Entry | None, count: int) -> Read | None:
        """Get or prolong the lease and read on; None where another pod has it.

        `done` is the last entry that is not to be posted again; only with the lease it counts.
        """
        words = [self._token, int(LEASE_SECONDS * 1_000), *_words(done), count]
        async with answering():
            found = await self._read(keys=self._keys, args=words)
        if found is None:
            return None
        accepted, last, raw = found
        entries, skipped = list(_entries(raw)), None
        if raw and not entries:
            skipped = Entry(bytes(raw[-1][0]).decode(), accepted, b"")
        return Read(accepted, last, entries, skipped)

    async def release(self, done: Entry | None) -> None:
        """Let another pod go on at once."""
        async with answering():
            await self._release(keys=self._keys[:1], args=[self._token, *_words(done)])


def _words(done: Entry | None) -> tuple[str, int]:
    return ("", 0) if done is None else (done.id, done.number)


def _entries(raw: Iterable[tuple[bytes, list[bytes]]]) -> Iterable[Entry]:
    """Read entries. What others have appended to the stream has no number, and is left out."""
    for id_, flat in raw:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        number = fields.get(b"number", b"")
        if number.isdigit() and b"data" in fields:
            yield Entry(id_.decode(), int(number), fields[b"data"])
