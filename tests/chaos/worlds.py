"""The worlds: each disaster alone, in a short run, and all of them overlapping, in a long one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.chaos.clocks import NOT_INSTALLED, faketime_library
from tests.chaos.disasters import ALL
from tests.chaos.ledger import Way
from tests.chaos.plan import UNTIL_OTHERS_ARE_DONE, Lane, Plan, Span, Step, draw

_CALM_SECONDS = 2.0
"""Events flow for so long before the first disaster."""
_BEFORE_SECONDS = 0.5
"""The clients that are away leave so long before a disaster of Redis, and come back after it."""
_LONG_REST = Span(4, 8)


@dataclass(frozen=True, slots=True)
class Size:
    """How many of everything."""

    pods: int
    clients: int
    """Of our own."""
    originals: int
    """Of socket.io-client's."""
    rooms: int
    per_second: Mapping[Way, float]
    """Events."""
    partitions: int = 1
    """Of the log."""


SHORT = Size(2, 30, 6, 6, {Way.PUBLISH: 30, Way.XADD: 15, Way.TCP: 10})
LONG = Size(3, 110, 16, 16, {Way.PUBLISH: 80, Way.XADD: 40, Way.TCP: 30})


@dataclass(frozen=True, slots=True)
class Leg:
    """A topology, and what strikes it."""

    name: str
    topology: str
    plan: Plan
    size: Size


def skipped(leg: Leg) -> str:
    """Say why a leg cannot be run here; empty where it can."""
    needs_clock = leg.topology == "clocked"
    return NOT_INSTALLED if needs_clock and faketime_library() is None else ""


def alone(name: str, topology: str, seed: str, pods: int | None = None, partitions: int = 1) -> Leg:
    """One disaster, once. Where it strikes Redis, some clients are away meanwhile."""
    one = ALL[name]
    step = Step(name, _CALM_SECONDS + _BEFORE_SECONDS, one.short_seconds, f"{seed} {name}")
    steps = [step]
    if one.followed_by is not None:
        steps.append(Step(one.followed_by, _BEFORE_SECONDS, 0, f"{seed} {one.followed_by}"))
    plan = {one.lane: steps}
    if one.lane is Lane.REDIS:
        plan[Lane.CLIENTS] = [Step("away", _CALM_SECONDS, UNTIL_OTHERS_ARE_DONE, f"{seed} away")]
    size = replace(SHORT, pods=pods or one.short_pods or SHORT.pods, partitions=partitions)
    called = name if topology == one.topologies[0] else f"{name}-{topology}"
    return Leg(called, topology, plan, size)


def short_legs(seed: str, pods: int | None = None, partitions: int = 1) -> Iterator[Leg]:
    """Give every world alone, in each topology that is its own."""
    for name, one in ALL.items():
        for topology in one.topologies if one.lane is Lane.REDIS else one.topologies[:1]:
            yield alone(name, topology, seed, pods, partitions)


def long_legs(seed: str, pods: int | None = None, partitions: int = 1) -> Iterator[Leg]:
    """Give overlapping disasters for each topology, drawn from the seed; each at least once."""
    together = [one.name for one in ALL.values() if one.topologies[0] == "single"]
    size = replace(LONG, pods=pods or LONG.pods, partitions=partitions)
    yield _overlapping(seed, "single", together, size)
    for name, one in ALL.items():
        if one.topologies[0] != "single":
            yield _overlapping(f"{seed} {name}", one.topologies[0], [name, *together], size)


def _overlapping(seed: str, topology: str, names: list[str], size: Size) -> Leg:
    fitting = [ALL[name] for name in names if topology in ALL[name].topologies]
    spans = {lane: {one.name: one.span for one in fitting if one.lane is lane} for lane in Lane}
    chosen = [one.name for one in fitting if one.lane is Lane.REDIS]
    name = topology if len(chosen) > 1 else f"{topology}: {chosen[0]}"
    return Leg(name, topology, draw(seed, spans, _LONG_REST), size)
