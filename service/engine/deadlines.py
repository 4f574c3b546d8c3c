"""Patience with many things of one kind, each for the same time: cheaper than a timer for each.

It knows no clock; what is to happen when patience ends is its owner's to know.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import takewhile
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Deadlines(Generic[Thing]):
    """Things and when their time is over, the first one in front."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._deadlines: dict[Thing, float] = {}

    def add(self, thing: Thing, now_seconds: float) -> None:
        """Begin to be patient, anew where it had begun. Time must not go backwards."""
        self._deadlines.pop(thing, None)
        self._deadlines[thing] = now_seconds + self._patience_seconds

    def remove(self, thing: Thing) -> None:
        """Forget a thing; harmless when it is not there."""
        self._deadlines.pop(thing, None)

    def take_due(self, now_seconds: float) -> list[Thing]:
        """Hand over, and forget, those whose time is over."""
        deadlines = self._deadlines
        due = list(takewhile(lambda thing: deadlines[thing] <= now_seconds, deadlines))
        for thing in due:
            del deadlines[thing]
        return due

    def __contains__(self, thing: Thing) -> bool:
        return thing in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)
