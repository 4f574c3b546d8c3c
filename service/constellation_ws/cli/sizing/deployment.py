"""All figures of a deployment together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constellation_ws.cli.sizing import provision, usage
from constellation_ws.cli.sizing.load import DEFAULT_LOG, Bounds, Load, Log
from constellation_ws.cli.sizing.provision import FullAt, Requests, Storm
from constellation_ws.cli.sizing.unit_costs import OF_MODE
from constellation_ws.cli.sizing.usage import Cpu, Memory, Network


@dataclass(frozen=True, slots=True)
class Sizing:
    """All figures of a deployment."""

    mode: str
    load: Load
    log: Log
    pods: int
    is_suggested: bool
    cpu: Mapping[str, Cpu]
    """By role."""
    network: Mapping[str, Network]
    memory: Mapping[str, Memory]
    storm: Storm
    full_at: FullAt
    requests: Requests
    problems: Sequence[str]
    notes: Sequence[str]


def compute(
    mode: str, load: Load, bounds: Bounds, pods: int | None, log: Log = DEFAULT_LOG
) -> Sizing:
    """Compute it, for the suggested number of pods if none is given. Raises NoNumberOfPods."""
    costs = OF_MODE[mode]
    count = provision.chosen_pods(load, bounds, costs, log) if pods is None else pods
    roles = usage.roles(count, costs, log)
    cpu = {name: usage.pod_cpu(load, count, costs, role, log) for name, role in roles.items()}
    network = {
        name: usage.pod_network(load, count, costs, role, log) for name, role in roles.items()
    }
    return Sizing(
        mode=mode,
        load=load,
        log=log,
        pods=count,
        is_suggested=pods is None,
        cpu=cpu | {"redis": usage.redis_cpu(load, count, costs, log)},
        network=network | {"redis": usage.redis_network(load, count, costs, log)},
        memory={
            "pod": usage.pod_memory(load, count, bounds, costs),
            "redis": usage.redis_memory(load, bounds, costs),
        },
        storm=provision.storm(load, count, bounds, costs, log),
        full_at=provision.full_at(load, count, costs, log=log),
        requests=provision.requests(load, count, bounds, costs, log),
        problems=tuple(provision.problems(load, count, bounds, costs, log)),
        notes=tuple(provision.notes(load, count, bounds, costs, log)),
    )
