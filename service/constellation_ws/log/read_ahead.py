"""Entries of the log that were read before this pod has received their ticks.

Pure. A tick that is not known here is either still to be received, or was published while this
pod was not subscribed. All ticks arrive in the order of the stream, and the log has that order too:
once a later tick is known here, an earlier one that is not will never be received.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from constellation_ws.log.pubsub_positions import Run, parse_position

_MAX_TICKS = 1_000


@dataclass(slots=True)
class Ahead:
    """What was read of the messages behind one tick."""

    begin: int
    """Index of the first of them that the log has to have: entries before it were not read."""
    is_begin: bool
    """Whether comparing with the log begins with this tick."""
    end: int
    """Index behind the last that was read."""
    count: int = 0
    """How many were read."""

    @property
    def missing(self) -> int:
        """How many the log lacks although later ones are in it."""
        return max(0, self.end - self.begin - self.count)


class ReadAhead:
    """What was read behind unknown ticks, in the order of the log; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_tick: dict[bytes, Ahead] = {}

    def __bool__(self) -> bool:
        """Return whether the last entries that were read are behind unknown ticks."""
        return bool(self._by_tick)

    def begin(self, position: bytes) -> None:
        """Note that comparing begins behind this position."""
        tick, index = parse_position(position)
        self._by_tick = {tick: Ahead(index + 1, is_begin=True, end=index + 1)}

    def add(self, runs: Sequence[Run]) -> None:
        """Note the positions of what was read."""
        for run in runs:
            ahead = self._by_tick.setdefault(run.tick, Ahead(0, is_begin=False, end=0))
            ahead.end = max(ahead.end, run.end)
            ahead.count += run.length
        while len(self._by_tick) > _MAX_TICKS:
            del self._by_tick[next(iter(self._by_tick))]

    def take(self, tick: bytes) -> Ahead | None:
        """Return what was read behind a tick that is received now; earlier ones never will be."""
        if tick not in self._by_tick:
            return None
        for earlier in list(self._by_tick):
            ahead = self._by_tick.pop(earlier)
            if earlier == tick:
                return ahead
        return None

    def clear(self) -> None:
        """Forget all: an entry behind a later tick that is known was read."""
        if self._by_tick:
            self._by_tick.clear()
