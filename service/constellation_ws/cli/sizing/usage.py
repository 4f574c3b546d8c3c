"""What pods and Redis use for a load: each figure as a sum of counts and unit costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

from constellation_ws.cli.sizing import unit_costs
from constellation_ws.cli.sizing.load import DEFAULT_LOG, Bounds, Load, Log
from constellation_ws.cli.sizing.unit_costs import UnitCosts


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a sum: so many of something, each for so much."""

    what: str
    per_second: float
    unit_us: float

    @property
    def millicores(self) -> float:
        """CPU: a thousand are one core that does nothing else."""
        return self.per_second * self.unit_us / 1_000


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU of a process, and what it is made of."""

    terms: tuple[Term, ...]

    @property
    def millicores(self) -> float:
        """The sum."""
        return sum(term.millicores for term in self.terms)


@dataclass(frozen=True, slots=True)
class Network:
    """Traffic of a process, without headers of TCP and TLS: copies of each event."""

    events_per_second: float
    copy_bytes: int
    copies_received: float
    copies_sent: float

    @property
    def received(self) -> float:
        """Bytes a second."""
        return self.events_per_second * self.copy_bytes * self.copies_received

    @property
    def sent(self) -> float:
        """Bytes a second."""
        return self.events_per_second * self.copy_bytes * self.copies_sent


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a memory: so many of something, each of so many bytes."""

    what: str
    count: float
    unit_bytes: int

    @property
    def bytes(self) -> float:
        """All of them."""
        return self.count * self.unit_bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process, and what it is made of."""

    parts: tuple[Part, ...]

    @property
    def bytes(self) -> float:
        """The sum."""
        return sum(part.bytes for part in self.parts)


def batches(load: Load, costs: UnitCosts) -> float:
    """Batches of events a second."""
    return min(load.events_per_second, costs.most_batches)


def local_share(load: Load, pods: int) -> float:
    """Share of the events that have a recipient on a given pod; clients are spread evenly."""
    if load.recipients <= 1:
        return load.recipients / pods  # the same, without the rounding error of the power
    return 1 - math.pow(1 - 1 / pods, load.recipients)


class Role(Enum):
    """What a pod does besides serving its clients."""

    RECORDER = auto()
    LISTENER = auto()
    """It receives events from Pub/Sub, to replace the recorder."""
    POD = auto()
    """It follows the log alone, or with `live` receives events from Pub/Sub."""


def roles(pods: int, costs: UnitCosts, log: Log = DEFAULT_LOG) -> dict[str, Role]:
    """Say which roles there are among so many pods; `pod` is that of most."""
    if not costs.is_logged:
        return {"pod": Role.POD}
    listening = log.listening(pods)
    found = {"recorder": Role.RECORDER}
    if pods > listening > 1:
        found["listener"] = Role.LISTENER
    if pods == 1 or pods > log.partitions:
        found["pod"] = Role.POD if pods > listening else Role.LISTENER
    return found


def busiest(costs: UnitCosts) -> Role:
    """Say in which role a pod uses most CPU; any pod may get it."""
    return Role.RECORDER if costs.is_logged else Role.POD


def pod_cpu(load: Load, pods: int, costs: UnitCosts, role: Role, log: Log = DEFAULT_LOG) -> Cpu:
    """CPU of one of so many pods."""
    rate, turns = load.events_per_second, batches(load, costs)
    of_event, of_batch = costs.event_us, costs.pod_batch_us
    if role is Role.RECORDER:
        of_batch += (costs.recorder_batch_us - of_batch) * log.recorded_share(pods)
    if role is Role.POD:
        of_batch -= costs.listen_batch_us
        of_event -= costs.listen_event_us
    first = rate * local_share(load, pods)
    further = max(0.0, rate * (load.recipients / pods) - first)
    others = turns * (log.partitions - 1)
    return Cpu(
        (
            Term("at rest", 1, costs.pod_second_us),
            Term("connections", load.users / pods, costs.connection_second_us),
            Term("batches, appended" if role is Role.RECORDER else "batches", turns, of_batch),
            Term("batches × further partitions", others, costs.partition_batch_us),
            Term("events, dropped or not", rate, of_event),
            Term("KiB of events", rate * load.event_bytes / 1024, costs.event_kib_us),
            Term("batches with a local recipient", min(turns, first), costs.local_batch_us),
            Term("events with a local recipient", first, costs.first_delivery_us),
            Term("further local recipients", further, costs.further_delivery_us),
        )
    )


def redis_cpu(load: Load, pods: int, costs: UnitCosts, log: Log = DEFAULT_LOG) -> Cpu:
    """CPU of Redis, whose commands share one thread; as if it had all partitions of the log."""
    rate, turns = load.events_per_second, batches(load, costs)
    to_all = costs.redis_batch_pod_us - costs.redis_batch_listen_us
    return Cpu(
        (
            Term("pods at rest", pods, costs.redis_pod_second_us),
            Term("connections", load.users, costs.redis_connection_second_us),
            Term("batches", turns, costs.redis_batch_us),
            Term("batches × pods", turns * pods, to_all),
            Term(
                "batches × listeners",
                turns * log.listening(pods),
                costs.redis_batch_listen_us,
            ),
            Term("events", rate, costs.redis_event_us),
            Term("events × pods", rate * pods, costs.redis_event_pod_us),
            Term("KiB of events", rate * load.event_bytes / 1024, costs.redis_event_kib_us),
        )
    )


def pod_network(
    load: Load, pods: int, costs: UnitCosts, role: Role, log: Log = DEFAULT_LOG
) -> Network:
    """Traffic of one of so many pods, with Redis and with clients.

    A recorder does not read from the log what it appends: it sends it once instead.
    """
    delivered = load.recipients / pods
    if role is Role.RECORDER:
        appended = log.recorded_share(pods)
        return _network(load, 2 - appended, appended + delivered)
    return _network(load, costs.copies_to_listener if role is Role.LISTENER else 1, delivered)


def redis_network(load: Load, pods: int, costs: UnitCosts, log: Log = DEFAULT_LOG) -> Network:
    """Traffic of Redis, of all primaries together, with publishers and with pods."""
    if costs.is_logged:
        return _network(load, 2, pods + log.listening(pods) - 1)
    return _network(load, 1, pods)


def _network(load: Load, received: float, sent: float) -> Network:
    copy_bytes = load.event_bytes + unit_costs.PACKET_BYTES
    return Network(load.events_per_second, copy_bytes, received, sent)


def log_entries(load: Load, bounds: Bounds, costs: UnitCosts) -> float:
    """Events in the log."""
    if not costs.is_logged:
        return 0
    return min(load.events_per_second * load.window_seconds, bounds.log_max_entries)


def redis_memory(load: Load, bounds: Bounds, costs: UnitCosts) -> Memory:
    """What Redis has in memory."""
    entry_bytes = load.event_bytes + unit_costs.ENTRY_BYTES
    return Memory(
        (
            Part("Redis itself", 1, unit_costs.REDIS_BYTES),
            Part("events in the log", log_entries(load, bounds, costs), entry_bytes),
            Part("sessions", load.users, costs.session_bytes),
        )
    )


def recent_events(load: Load, bounds: Bounds, costs: UnitCosts) -> Part:
    """What a pod has in memory of the log's events, for clients that resume."""
    event_bytes = load.event_bytes + unit_costs.RECENT_EVENT_BYTES
    most = unit_costs.MOST_RECENT_BYTES / event_bytes
    return Part("recent events", min(log_entries(load, bounds, costs), most), event_bytes)


def pod_memory(load: Load, pods: int, bounds: Bounds, costs: UnitCosts) -> Memory:
    """What one of so many pods has in memory."""
    return Memory(
        (
            Part("pod itself", 1, unit_costs.POD_BYTES),
            recent_events(load, bounds, costs),
            Part("connections", load.users / pods, costs.connection_bytes),
        )
    )
