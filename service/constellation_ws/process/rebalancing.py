"""Who has been connected for so long that it should connect anew. Pure: time and chance are given.

New pods get no load while clients stay where they are. Closing is the caller's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable

_JITTER = 0.2
"""The part of the age that chance may take off: who came together does not leave together."""
_SPARE = 1_000
"""Deadlines of connections that have gone may be as many as those there are, and so many more."""


class Ages:
    """The deadline of every connection that it has been shown."""

    def __init__(self, max_age_seconds: float, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 up to 1."""
        self._max_age_seconds = max_age_seconds
        self._chance = chance
        self._known: set[str] = set()
        self._deadlines: list[tuple[float, str]] = []

    def meet(self, newest_first: Iterable[str], now_seconds: float) -> None:
        """Count the age of connections from now on; looks no further than the first known one."""
        for sid in newest_first:
            if sid in self._known:
                return
            self._known.add(sid)
            age = self._max_age_seconds * (1 - _JITTER * self._chance())
            heapq.heappush(self._deadlines, (now_seconds + age, sid))

    def take_due(self, there: Container[str], there_count: int, now_seconds: float) -> list[str]:
        """Hand over, and forget, who is still there and too old."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_seconds:
            sid = heapq.heappop(self._deadlines)[1]
            self._known.discard(sid)
            if sid in there:
                due.append(sid)
        if len(self._deadlines) > 2 * there_count + _SPARE:
            self._forget_gone(there)
        return due

    def _forget_gone(self, there: Container[str]) -> None:
        self._deadlines = [one for one in self._deadlines if one[1] in there]
        heapq.heapify(self._deadlines)
        self._known = {sid for _, sid in self._deadlines}
