"""Patience with many things of one kind, each for the same time: cheaper than a timer for each.

It knows no clock; what is to happen when patience ends is its owner's to know.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Deadlines(Generic[Thing]):
    """Things and when their time is over, the first one in front."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        # Ordered: taking the first of a plain dictionary again and again walks what was taken.
        self._deadlines: OrderedDict[Thing, float] = OrderedDict()

    def add(self, thing: Thing, now_seconds: float) -> None:
        """Begin to be patient, anew where it had begun. Time must not go backwards."""
        self._deadlines.pop(thing, None)
        self._deadlines[thing] = now_seconds + self._patience_seconds

    def remove(self, thing: Thing) -> None:
        """Forget a thing; harmless when it is not there."""
        self._deadlines.pop(thing, None)

    def pop_due(self, now_seconds: float) -> Iterator[Thing]:
        """Hand over, and forget, those whose time is over, one at a time.

        Others may be added and removed between two of them.
        """
        deadlines = self._deadlines
        while deadlines and deadlines[first := next(iter(deadlines))] <= now_seconds:
            del deadlines[first]
            yield first

    def __contains__(self, thing: Thing) -> bool:
        return thing in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)
