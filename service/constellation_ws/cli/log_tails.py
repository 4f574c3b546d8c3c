"""The ends of the log's partitions, as `tail` reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from redis import Redis

from constellation_ws.cli.redis_connection import Reach, RedisFailed, required
from constellation_ws.log.layout import Logged, read_named
from constellation_ws.redis_io.names import Names

_PAGE = 500
_AGAIN_SECONDS = 3.0
"""After which a partition that is away is tried again. Others wait meanwhile, for the time-out of a
connection at most."""


class LogTail:
    """The end of one partition."""

    def __init__(
        self, redis: Any, names: Names, since_seconds: float, last: bytes | None = None
    ) -> None:
        """Begin so long ago, or behind the `last` entry that was read."""
        self._redis, self._names = redis, names
        self.last = _beginning(redis, since_seconds) if last is None else last

    def read(self, block_ms: int) -> Sequence[Logged]:
        """Read what is new; wait so long for it."""
        pairs = _entries(self._redis, self._names, self.last, block_ms)
        self.last = pairs[-1][0] if pairs else self.last
        return read_named(pairs).logged


class FurtherTail:
    """That of a further partition. While its Redis is away, the others are read."""

    def __init__(
        self,
        redis: Redis,
        names: Names,
        reach: Reach,
        since_seconds: float,
        report: Callable[[str], None],
    ) -> None:
        """`report` is called when it goes away, and when it is back."""
        self._redis, self._names, self._reach = redis, names, reach
        self._begins_at = time.monotonic() - since_seconds
        self._report = report
        self._held = ExitStack()
        self._tail: LogTail | None = None
        self._last: bytes | None = None
        self._again_at: float | None = None
        """Monotonic time; None while it is not away."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Close the connection at the end."""
        try:
            yield
        finally:
            self._held.close()

    def read(self, block_ms: int) -> Sequence[Logged]:
        """Read what is new, nothing while it is away."""
        if self._again_at is not None and time.monotonic() < self._again_at:
            return ()
        try:
            with required("it cannot be read"):
                logged = self._reached().read(block_ms)
        except RedisFailed as error:
            self._note_away(error.reason)
            return ()
        if self._again_at is not None:
            self._again_at = None
            self._report(f"partition {self._names.partition} of the log can be read again")
        return logged

    def _reached(self) -> LogTail:
        if self._tail is None:
            redis = self._held.enter_context(self._reach(self._redis, self._names))
            since_seconds = time.monotonic() - self._begins_at
            self._tail = LogTail(redis, self._names, since_seconds, self._last)
        return self._tail

    def _note_away(self, reason: str) -> None:
        if self._tail is not None:
            self._last, self._tail = self._tail.last, None
        self._held.close()
        if self._again_at is None:
            partition = f"partition {self._names.partition} of the log"
            self._report(f"{partition}: {reason}; its events are shown once it is back")
        self._again_at = time.monotonic() + _AGAIN_SECONDS


def _beginning(redis: Any, since_seconds: float) -> bytes:
    """Give the log ID behind which to read: Redis' own time, so that nothing is between."""
    seconds, microseconds = redis.time()
    return b"%d-0" % max(0, int((seconds + microseconds / 1e6 - since_seconds) * 1000))


def _entries(redis: Any, names: Names, last: bytes, block_ms: int) -> list[Any]:
    found = redis.xread({names.log: last}, count=_PAGE, block=block_ms)
    streams = found.values() if isinstance(found, dict) else [one[1] for one in found or ()]
    return [pair for pairs in streams for pair in _flat(pairs)]


def _flat(pairs: Any) -> list[Any]:
    """Undo the list that RESP3 puts around the entries of a stream."""
    return pairs[0] if pairs and isinstance(pairs[0], list) else list(pairs)
