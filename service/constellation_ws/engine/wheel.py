"""A timer wheel for the pings of all sessions, instead of a task for each.

Pure: the owner advances it once per step.
"""

from __future__ import annotations

import math
from typing import Protocol


class Timed(Protocol):
    """What can be put into the wheel. It stores its own slot."""

    slot: int


class Wheel:
    """Slots in a circle, one step apart. The cost of an operation does not depend on the size."""

    def __init__(self, step_seconds: float, longest_seconds: float) -> None:
        self._step_seconds = step_seconds
        size = math.ceil(longest_seconds / step_seconds) + 2
        self._slots: list[set[Timed]] = [set() for _ in range(size)]
        self._now = 0

    def put(self, timed: Timed, delay_seconds: float) -> None:
        """Make a thing due after a delay, rounded up to a step. It leaves its former slot."""
        self.remove(timed)
        steps = max(1, math.ceil(delay_seconds / self._step_seconds))
        timed.slot = (self._now + steps) % len(self._slots)
        self._slots[timed.slot].add(timed)

    def remove(self, timed: Timed) -> None:
        """Remove a thing; harmless if it is not there."""
        if timed.slot >= 0:
            self._slots[timed.slot].discard(timed)
            timed.slot = -1

    def advance(self) -> list[Timed]:
        """Advance by one step; remove and return what is due."""
        self._now = (self._now + 1) % len(self._slots)
        due, self._slots[self._now] = self._slots[self._now], set()
        for timed in due:
            timed.slot = -1
        return list(due)

    def __len__(self) -> int:
        return sum(map(len, self._slots))
