"""What a fault is: a name, a lane, and steps with waits between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.chaos.plan import Lane
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault at one time, as it stands in a plan."""

    name: str
    at: float
    """Seconds after the beginning; later where the lane is not free yet."""
    seconds: float
    seed: str
    """Of what it draws itself, such as the pod that it strikes."""

    @property
    def chance(self) -> Random:
        return Random(self.seed)

    def __str__(self) -> str:
        return f"{self.name}@{self.at:g}+{self.seconds:g}"


Steps = Iterator[float]
"""Each value is how many seconds to wait before the next step."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. Within a lane one follows the other; lanes overlap."""

    name: str
    lane: Lane
    strike: Callable[[World, Blow], Steps]
    shortest: float = 0.0
    longest: float = 0.0
    weight: float = 1.0
    is_alone: bool = False
    """Whether it strikes only in worlds that name it: with others, nobody may report a loss."""
