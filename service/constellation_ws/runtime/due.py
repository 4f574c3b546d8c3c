"""Times at which connections are due: one heap for all, not a timer for each. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator

_SPARE = 1_000
"""Stale entries may be as many as valid ones, and so many more."""


class DueTimes:
    """A time for each connection that has one, on whichever clock the caller uses."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        """May hold times that have been changed, or whose connection is gone."""

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, sid: str) -> bool:
        return sid in self._times

    def put(self, sid: str, time: float) -> None:
        """Set the time of a connection, whatever it was before."""
        self._times[sid] = time
        heapq.heappush(self._queue, (time, sid))
        if len(self._queue) > 2 * len(self._times) + _SPARE:
            self._rebuild()

    def remove(self, sid: str) -> None:
        """Remove a connection, if it is there."""
        self._times.pop(sid, None)

    def retain(self, there: Container[str], there_count: int) -> None:
        """Remove connections that do not exist any more, once they are as many as those that do."""
        if len(self._times) > 2 * there_count + _SPARE:
            self._times = {sid: time for sid, time in self._times.items() if sid in there}
            self._rebuild()

    def pop_due(self, now: float) -> Iterator[str]:
        """Remove and yield those whose time has come, one at a time.

        The times of others may be put and removed between two of them.
        """
        while self._queue and self._queue[0][0] <= now:
            time, sid = heapq.heappop(self._queue)
            if self._times.get(sid) == time:
                del self._times[sid]
                yield sid

    def _rebuild(self) -> None:
        self._queue = [(time, sid) for sid, time in self._times.items()]
        heapq.heapify(self._queue)
