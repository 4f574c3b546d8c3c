"""Which disaster strikes when: three lanes side by side, drawn from a seed.

Pure. Within a lane disasters follow each other, for they would undo one another; the lanes of
Redis, the pods and the clients overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random


class Lane(Enum):
    """What a disaster strikes."""

    REDIS = "redis"
    PODS = "pods"
    CLIENTS = "clients"


UNTIL_OTHERS_ARE_DONE = float("inf")
"""Seconds of a step that accompanies the other lanes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One disaster in a lane."""

    name: str
    rest_seconds: float
    """Before it strikes."""
    seconds: float
    """How long it lasts, where that is not a matter of its own."""
    seed: str
    """Of what it draws itself, such as the pod that it strikes."""


Plan = Mapping[Lane, Sequence[Step]]


@dataclass(frozen=True, slots=True)
class Span:
    """How long a disaster may last, in seconds."""

    shortest: float
    longest: float


def draw(
    seed: str,
    spans: Mapping[Lane, Mapping[str, Span]],
    rest: Span,
    rounds: int = 1,
) -> Plan:
    """Draw a plan: each disaster of each lane `rounds` times, in an order of its own each time."""
    return {lane: list(_lane(seed, lane, spans[lane], rest, rounds)) for lane in spans}


def _lane(
    seed: str, lane: Lane, spans: Mapping[str, Span], rest: Span, rounds: int
) -> Iterator[Step]:
    chance = Random(f"{seed} {lane.value}")
    count = 0
    for _ in range(rounds):
        for name in chance.sample(sorted(spans), len(spans)):
            count += 1
            span = spans[name]
            yield Step(
                name,
                round(chance.uniform(rest.shortest, rest.longest), 1),
                round(chance.uniform(span.shortest, span.longest), 1),
                f"{seed} {lane.value} {count}",
            )


def lines_of(plan: Plan) -> list[str]:
    """Give the plan as lines of text."""
    return [
        f"  {lane.value:8}" + ", ".join(f"{one.name} {one.seconds:g} s" for one in steps)
        for lane, steps in plan.items()
        if steps
    ]
