"""When what is due: one heap for all connections, not a timer for each. Pure: time is given."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator

_SPARE = 1_000
"""Entries that no longer count may be as many as those that do, and so many more."""


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
        """Forget a connection; harmless when it is not there."""
        self._times.pop(sid, None)

    def retain(self, there: Container[str], there_count: int) -> None:
        """Forget connections that are gone, once they are as many as those that are there."""
        if len(self._times) > 2 * there_count + _SPARE:
            self._times = {sid: time for sid, time in self._times.items() if sid in there}
            self._rebuild()

    def take_due(self, now: float) -> Iterator[str]:
        """Hand over, and forget, those whose time has come, one at a time.

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
