"""What a mutation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule that is broken."""

    name: str
    breaks: str
    """What the gateway does then."""
    world: str
    """The faults in which that shows, as for `WORLD=`."""
    apply: Callable[[], None]
    partitions: int = 1
    """Of the log."""
