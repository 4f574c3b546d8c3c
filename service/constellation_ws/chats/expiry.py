"""Whose token ends when: one structure for all connections. Pure: time is given.

Closing is the caller's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

_SPARE = 1_000
"""Entries that no longer count may be as many as those that do, and so many more."""


class Expiries:
    """The end of every connection that has one, in Unix time."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        """May hold ends that have been put off, or whose connection is gone."""

    def __len__(self) -> int:
        return len(self._ends)

    def put(self, sid: str, ends_at: float) -> None:
        """Let a connection end at a time, whatever was said of it before."""
        self._ends[sid] = ends_at
        heapq.heappush(self._queue, (ends_at, sid))
        if len(self._queue) > 2 * len(self._ends) + _SPARE:
            self._queue = [(at, sid) for sid, at in self._ends.items()]
            heapq.heapify(self._queue)

    def remove(self, sid: str) -> None:
        """Forget a connection; harmless when it is not there."""
        self._ends.pop(sid, None)

    def take_due(self, now_seconds: float) -> Iterator[str]:
        """Hand over, and forget, those whose time is over, one at a time.

        The ends of others may be put and removed between two of them.
        """
        while self._queue and self._queue[0][0] <= now_seconds:
            ends_at, sid = heapq.heappop(self._queue)
            if self._ends.get(sid) == ends_at:
                del self._ends[sid]
                yield sid
