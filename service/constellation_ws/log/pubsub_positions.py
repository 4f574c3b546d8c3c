"""Positions in the Pub/Sub stream: the last tick and the number of messages since.

Pure. Pods publish ticks into the stream that all of them receive, so a position names the same
message on every pod.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

_MAX_TICKS = 1_000
"""Ticks that are retained: some minutes of them, at two a second and pod restarts besides."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """One message of the stream, where this pod received it."""

    tick: bytes
    """The last tick before it."""
    index: int
    """How many messages lie between that tick and it."""
    channel: bytes
    payload: bytes

    @property
    def position(self) -> bytes:
        """Its name, the same on every pod that has been subscribed since the tick."""
        return b"%b:%d" % (self.tick, self.index)


class Run(NamedTuple):
    """Positions in a row behind one tick."""

    tick: bytes
    first: int
    length: int
    """How many they are."""

    @property
    def end(self) -> int:
        """The index behind the last."""
        return self.first + self.length

    @property
    def begin(self) -> bytes:
        """The first position."""
        return b"%b:%d" % (self.tick, self.first)

    @property
    def last(self) -> bytes:
        """The last position."""
        return b"%b:%d" % (self.tick, self.end - 1)


def runs_of(received: Sequence[Received]) -> list[Run]:
    """Return the positions of messages, at least one, that follow each other in the stream."""
    first, last = received[0], received[-1]
    if first.tick == last.tick and last.index - first.index == len(received) - 1:
        return [Run(first.tick, first.index, len(received))]
    runs: list[Run] = []
    tick, begin, end = first.tick, first.index, first.index
    for one in received:
        if one.tick != tick or one.index != end:
            runs.append(Run(tick, begin, end - begin))
            tick, begin, end = one.tick, one.index, one.index
        end += 1
    return [*runs, Run(tick, begin, end - begin)]


@dataclass(slots=True)
class Stretch:
    """The messages behind one tick."""

    begin: int
    """Number of the first of them."""
    serial: int
    """How many interruptions there were before it."""
    end: int | None = None
    """Number after the last of them that was received; None while they still come."""

    def clamp(self, number: int) -> int:
        """Bound a number by the stretch: other pods may have received more of it than this one."""
        return number if self.end is None else min(number, self.end)


@dataclass(frozen=True, slots=True)
class Hole:
    """Where messages may be missing here that other pods have received."""

    number: int
    serial: int
    """Which interruption it is; 0 for none. It tells what came before the hole from what came
    behind it where nothing was received in between."""
    is_lossy: bool
    """Whether Redis may have counted this pod as a receiver of what is missing."""
    late: int
    """How many late recorders there had been when it began. For `filled_holes`."""
    noted_at: float = -math.inf
    """Monotonic time in seconds until which Redis may have counted this pod as a receiver."""

    def is_before(self, stretch: Stretch) -> bool:
        """Return whether it lies before a stretch."""
        return (self.number, self.serial) <= (stretch.begin, stretch.serial)


class Stretches:
    """The stretches that this pod has received, by their ticks; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_tick: dict[bytes, Stretch] = {}
        self._current: Stretch | None = None

    def begin(self, tick: bytes, number: int, serial: int) -> Stretch:
        """End the current stretch before the message of this number, and begin the next one."""
        if self._current is not None:
            self._current.end = number
        stretch = self._by_tick[tick] = self._current = Stretch(number, serial)
        if len(self._by_tick) > _MAX_TICKS:
            del self._by_tick[next(iter(self._by_tick))]
        return stretch

    def find(self, position: bytes) -> tuple[Stretch, int] | None:
        """Find the stretch of a position, and the number that its message has or would have."""
        return self._find(*parse_position(position))

    def find_last(self, runs: Sequence[Run]) -> tuple[Stretch, int, int] | None:
        """Find the last position whose tick is known, as `find` does, and its run's place."""
        for place in range(len(runs) - 1, -1, -1):
            if found := self._find(runs[place].tick, runs[place].end - 1):
                return *found, place
        return None

    def numbers(self, runs: Iterable[Run]) -> set[int]:
        """Return the numbers of those that this pod has received, or may receive.

        Others may have received more of a stretch that has ended here.
        """
        numbers: set[int] = set()
        for run in runs:
            if found := self._find(run.tick, run.first):
                stretch, number = found
                numbers.update(range(number, stretch.clamp(number + run.length)))
        return numbers

    def is_row(self, runs: Sequence[Run], stretch: Stretch, numbers: range) -> bool:
        """Return whether runs whose last is of this stretch are exactly these numbers of it.

        Where the first is of it too, no other tick is between: entries have the stream's order.
        """
        found = self._find(runs[0].tick, runs[0].first)
        return (
            found is not None
            and found[0] is stretch
            and found[1] == numbers.start
            and stretch.begin + runs[-1].end == numbers.stop
            and sum(run.length for run in runs) == len(numbers)
        )

    def _find(self, tick: bytes, index: int) -> tuple[Stretch, int] | None:
        stretch = self._by_tick.get(tick)
        return None if stretch is None else (stretch, stretch.begin + index)


def parse_position(position: bytes) -> tuple[bytes, int]:
    """Read a position: its tick, and the index behind it, 0 where that is no number."""
    tick, _, index = position.rpartition(b":")
    return tick, int(index) if index.isdigit() else 0
