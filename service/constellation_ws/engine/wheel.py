"""The timer wheel: when is which session's turn. One for all sessions, instead of a task each.

It knows no clock: whoever owns it turns it once per step.
"""

from __future__ import annotations

import math
from typing import Protocol


class Timed(Protocol):
    """What stands on the wheel; it remembers its own place."""

    slot: int


class Wheel:
    """Slots in a circle, one step apart. Everything costs the same however many stand on it."""

    def __init__(self, step_seconds: float, longest_seconds: float) -> None:
        self._step_seconds = step_seconds
        size = math.ceil(longest_seconds / step_seconds) + 2
        self._slots: list[set[Timed]] = [set() for _ in range(size)]
        self._now = 0

    def put(self, timed: Timed, delay_seconds: float) -> None:
        """Give it its turn after the delay, rounded up to a step; it stands in one place only."""
        self.remove(timed)
        steps = max(1, math.ceil(delay_seconds / self._step_seconds))
        timed.slot = (self._now + steps) % len(self._slots)
        self._slots[timed.slot].add(timed)

    def remove(self, timed: Timed) -> None:
        """Take it off; harmless when it is not there."""
        if timed.slot >= 0:
            self._slots[timed.slot].discard(timed)
            timed.slot = -1

    def advance(self) -> list[Timed]:
        """Move on by one step and take off those whose turn it is."""
        self._now = (self._now + 1) % len(self._slots)
        due, self._slots[self._now] = self._slots[self._now], set()
        for timed in due:
            timed.slot = -1
        return list(due)

    def __len__(self) -> int:
        return sum(map(len, self._slots))
