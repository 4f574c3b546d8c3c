"""Deadlines of many things of one kind, with one timeout for all: cheaper than a timer for each.

Pure: time is an argument, and the owner decides what happens at a deadline.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Deadlines(Generic[Thing]):
    """Things and their deadlines, the earliest one first."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        # Removing the first key again and again is quadratic in a plain dictionary.
        self._deadlines: OrderedDict[Thing, float] = OrderedDict()

    def add(self, thing: Thing, now_seconds: float) -> None:
        """Start the timeout of a thing, or restart it. Time must not go backwards."""
        self._deadlines.pop(thing, None)
        self._deadlines[thing] = now_seconds + self._timeout_seconds

    def remove(self, thing: Thing) -> None:
        """Remove a thing; harmless if it is not there."""
        self._deadlines.pop(thing, None)

    def pop_due(self, now_seconds: float) -> Iterator[Thing]:
        """Remove and yield the things whose deadline has passed, one at a time.

        Others may be added and removed in between.
        """
        deadlines = self._deadlines
        while deadlines and deadlines[first := next(iter(deadlines))] <= now_seconds:
            del deadlines[first]
            yield first

    def __contains__(self, thing: Thing) -> bool:
        return thing in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)
