"""How many pods carry a load, what each should get, and where the limits are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from constellation_ws.cli.sizing import unit_costs, usage
from constellation_ws.cli.sizing.load import DEFAULT_LOG, MOST_EVENTS, Bounds, Load, Log
from constellation_ws.cli.sizing.unit_costs import UnitCosts
from constellation_ws.cli.sizing.usage import Cpu, Role

CORE = 1_000.0
"""Millicores that a pod can use, and Redis for its commands."""
MOST_POD_MILLICORES = 600.0
"""Of a pod while another one is down: where the chart's autoscaling adds a pod by default."""
MOST_REDIS_MILLICORES = 600.0
"""Above it a moment with more events than usual makes all of them late."""
MOST_STORM_SECONDS = 15.0
"""In which the clients of a pod that died should be connected again."""
MOST_PODS = 1_000
MOST_UNPACKED_RATE = 1_000
"""Events a second at which packing made no difference."""
_SPARE = 1.5
"""Of memory: what allocators do not return, buffers of slow clients, snapshots of Redis."""
_MEMORY_STEP = 64 << 20
_CPU_STEP = 50


@dataclass(frozen=True, slots=True)
class Storm:
    """What happens when a pod dies, and its clients reconnect to the others."""

    clients: int
    survivors: int
    most_of_pods: float
    """Connects a second that the surviving pods have CPU for, and their settings allow."""
    most_of_redis: float
    """Connects a second that Redis has CPU for."""
    pod_cpu_seconds: float
    """Of all surviving pods together."""
    redis_cpu_seconds: float

    @property
    def connects_per_second(self) -> float:
        """How many reconnect in each second."""
        return min(self.most_of_pods, self.most_of_redis)

    @property
    def seconds(self) -> float:
        """Until the last of them is back; infinite if there is no CPU left for it."""
        return self.seconds_at(self.connects_per_second)

    def seconds_at(self, connects_per_second: float) -> float:
        """Until the last of them is back at this pace."""
        if connects_per_second <= 0:
            return math.inf
        return unit_costs.BACKOFF_SECONDS + self.clients / connects_per_second


@dataclass(frozen=True, slots=True)
class FullAt:
    """Events a second at which a core is used up, everything else unchanged."""

    recorder: float
    pod: float
    redis: float


@dataclass(frozen=True, slots=True)
class Requests:
    """What to give to each pod, and to Redis."""

    cpu_millicores: int
    memory_bytes: int
    redis_memory_bytes: int


class NoNumberOfPods(ValueError):
    """More pods do not help; `str()` is a sentence."""


def storm(load: Load, pods: int, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG) -> Storm:
    """Compute what happens when one of so many pods dies. A single one is replaced first."""
    survivors = max(1, pods - 1)
    clients = math.ceil(load.users / pods)
    busy = usage.pod_cpu(load, survivors, costs, usage.busiest(costs), log).millicores
    redis_busy = usage.redis_cpu(load, survivors, costs, log).millicores
    of_pod = min(_spare(busy) / costs.reconnect_us, bounds.max_connects_per_second)
    return Storm(
        clients,
        survivors,
        survivors * of_pod,
        _spare(redis_busy) / costs.redis_reconnect_us,
        clients * costs.reconnect_us / 1e6,
        clients * costs.redis_reconnect_us / 1e6,
    )


def _spare(millicores: float) -> float:
    """Microseconds a second that a core has left."""
    return max(0.0, CORE - millicores) * 1_000


def pod_faults(
    load: Load, pods: int, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG
) -> Iterator[str]:
    """Say why so many pods do not carry the load while one of them is down."""
    survivors = max(1, pods - 1)
    busy = usage.pod_cpu(load, survivors, costs, usage.busiest(costs), log).millicores
    if busy > MOST_POD_MILLICORES:
        yield (
            f"while a pod is down, each other pod uses {busy:,.0f} m of CPU, more than "
            f"{MOST_POD_MILLICORES:.0f} m"
        )
    if load.users / survivors > bounds.max_connections:
        yield (
            f"while a pod is down, each other pod has {-(-load.users // survivors):,} connections, "
            f"and CONSTELLATION_MAX_CONNECTIONS is {bounds.max_connections:,}"
        )
    found = storm(load, pods, bounds, costs, log)
    if found.seconds_at(found.most_of_pods) > MOST_STORM_SECONDS:
        yield (
            "the clients of a pod that dies need more than "
            f"{MOST_STORM_SECONDS:.0f} s to be connected again"
        )


def suggested_pods(
    load: Load, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG
) -> int | None:
    """Return the least number of pods that is enough, two or more; None if no number is."""
    counts = range(2, MOST_PODS + 1)
    fitting = (pods for pods in counts if not any(pod_faults(load, pods, bounds, costs, log)))
    return next(fitting, None)


def chosen_pods(load: Load, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG) -> int:
    """Return the suggested number of pods. Raises NoNumberOfPods."""
    pods = suggested_pods(load, bounds, costs, log)
    if pods is None:
        reason = next(pod_faults(load, MOST_PODS, bounds, costs, log))
        raise NoNumberOfPods(
            f"No number of pods up to {MOST_PODS:,} is enough: {reason}. See Cells in "
            "docs/scale.md; --pods shows the figures of a number of pods."
        )
    return pods


def requests(
    load: Load, pods: int, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG
) -> Requests:
    """Compute what each pod should get, so that it can take over from one that is down."""
    survivors = max(1, pods - 1)
    cpu = usage.pod_cpu(load, survivors, costs, usage.busiest(costs), log).millicores
    memory = usage.pod_memory(load, survivors, bounds, costs).bytes
    redis = usage.redis_memory(load, bounds, costs).bytes
    return Requests(
        _rounded_up(min(cpu, CORE), _CPU_STEP),
        _rounded_up(memory * _SPARE, _MEMORY_STEP),
        _rounded_up(redis * _SPARE, _MEMORY_STEP),
    )


def _rounded_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def full_at(
    load: Load, pods: int, costs: UnitCosts, share: float = 1.0, log: Log = DEFAULT_LOG
) -> FullAt:
    """Find where recorder, another pod and Redis use this share of a core."""
    most, found = share * CORE, usage.roles(pods, costs, log)
    other = found.get("pod", Role.RECORDER)
    return FullAt(
        _rate_at(load, most, lambda one: usage.pod_cpu(one, pods, costs, Role.RECORDER, log)),
        _rate_at(load, most, lambda one: usage.pod_cpu(one, pods, costs, other, log)),
        _rate_at(load, most, lambda one: usage.redis_cpu(one, pods, costs, log)),
    )


def _rate_at(load: Load, millicores: float, cpu: Callable[[Load], Cpu]) -> float:
    """Return the highest rate with no more CPU than this; CPU rises with the rate."""
    low, high = 0.0, float(MOST_EVENTS)
    for _ in range(60):
        rate = (low + high) / 2
        fits = cpu(replace(load, events_per_second=rate)).millicores <= millicores
        low, high = (rate, high) if fits else (low, rate)
    return low


def problems(
    load: Load, pods: int, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG
) -> Iterator[str]:
    """Say in a sentence each why this does not work, and what would."""
    for fault in pod_faults(load, pods, bounds, costs, log):
        yield f"{fault}: add pods"
    busy = usage.redis_cpu(load, pods, costs, log).millicores
    if busy > MOST_REDIS_MILLICORES and log.partitions == 1:  # else not known; there is a note
        yield (
            f"Redis uses {busy:,.0f} m of CPU, more than {MOST_REDIS_MILLICORES:.0f} m: "
            "see Cells in docs/scale.md"
        )


def notes(
    load: Load, pods: int, bounds: Bounds, costs: UnitCosts, log: Log = DEFAULT_LOG
) -> Iterator[str]:
    """Say in a sentence each what an operator should know of it."""
    if pods == 1:
        yield "with one pod nobody is served until it is replaced"
    if not costs.is_logged:
        yield "with live delivery clients do not resume: they miss what happens meanwhile"
        return
    yield from _uncounted(load, log)
    wanted = load.events_per_second * load.window_seconds
    if wanted > bounds.log_max_entries:
        seconds = bounds.log_max_entries / load.events_per_second
        yield (
            f"the log reaches back {seconds:,.0f} s only: CONSTELLATION_LOG_MAX_ENTRIES is "
            f"{bounds.log_max_entries:,}, and the window has {wanted:,.0f} events"
        )
    recent = usage.recent_events(load, bounds, costs).count
    if recent < usage.log_entries(load, bounds, costs):
        yield (
            f"a pod has the events of the last {recent / load.events_per_second:,.0f} s in memory; "
            "clients that were away for longer resume from Redis"
        )


def _uncounted(load: Load, log: Log) -> Iterator[str]:
    """Say which settings change what is used, in a way of which there is no unit cost."""
    if log.partitions > 1:
        yield (
            "not counted: what the partitions take from the busiest primary; Redis is computed as "
            "one that has them all (see Partitions in docs/scale.md)"
        )
    if log.is_packed and load.events_per_second > MOST_UNPACKED_RATE:
        yield (
            "not counted: packing, with which Redis and the recorder use less than this at more "
            f"than {MOST_UNPACKED_RATE:,} events a second"
        )
