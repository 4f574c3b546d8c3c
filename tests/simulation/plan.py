"""Which fault strikes when, drawn from a seed; as text, and made shorter. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from tests.chaos.plan import Lane
from tests.simulation.faults.kinds import Blow, Fault

_CALM_SECONDS = 3.0
"""Before the first fault everybody connects."""
_LONGEST_REST = 8.0
ALL = "all"


def draw(seed: str, seconds: float, faults: Mapping[str, Fault], world: str = ALL) -> list[Blow]:
    """Draw what strikes within so many seconds: each lane on its own, lanes overlap.

    `world` names the only faults that strike, with `+` between them. Raises KeyError.
    """
    chance = Random(f"{seed} plan")
    if world == ALL:
        wanted = {name: fault for name, fault in faults.items() if not fault.is_alone}
    else:
        wanted = {name: faults[name] for name in world.split("+")}
    lanes = [lane for lane in Lane if any(fault.lane is lane for fault in wanted.values())]
    if world == ALL:  # often only one or two of them: what comes of one fault alone is seen too
        lanes = sorted(chance.sample(lanes, chance.choice((1, 2, 2, 3, 3))), key=list(Lane).index)
    blows = []
    for lane in lanes:
        own = sorted(name for name, fault in wanted.items() if fault.lane is lane)
        blows += _lane(chance, own, wanted, seconds)
    return sorted(blows, key=lambda blow: (blow.at, blow.name))


def _lane(
    chance: Random, names: Sequence[str], faults: Mapping[str, Fault], seconds: float
) -> list[Blow]:
    blows, at = [], _CALM_SECONDS + chance.uniform(0, _LONGEST_REST)
    while at < seconds:
        name = chance.choices(names, [faults[one].weight for one in names])[0]
        fault = faults[name]
        lasts = round(chance.uniform(fault.shortest, fault.longest), 2)
        blows.append(Blow(name, round(at, 2), lasts, f"{chance.getrandbits(32):08x}"))
        at += lasts + chance.uniform(0, _LONGEST_REST) * chance.choice((0.1, 1.0))
    return blows


def to_text(blows: Sequence[Blow]) -> str:
    """Write a plan in one word."""
    return ",".join(f"{blow}:{blow.seed}" for blow in blows)


def from_text(text: str) -> list[Blow]:
    """Read what `to_text` wrote."""
    blows = []
    for part in filter(None, text.split(",")):
        name, _, rest = part.partition("@")
        times, _, seed = rest.partition(":")
        at, _, seconds = times.partition("+")
        blows.append(Blow(name, float(at), float(seconds), seed))
    return blows


def shorten(blows: Sequence[Blow], fails: Callable[[Sequence[Blow]], bool]) -> list[Blow]:
    """Leave out every fault without which it fails as well."""
    left = list(blows)
    for blow in reversed(blows):
        fewer = [one for one in left if one is not blow]
        if fails(fewer):
            left = fewer
    return left
