"""What is asked of a server, and which figures are read from the answer. Pure values.

How it is done (processes, sockets) and how figures are compared are elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from benchmarks.load import LoadReport, Span

# Arguments of the load generator, by their names there.
Options = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a report. `key` names it in results."""

    key: str
    unit: str
    higher_is_better: bool
    read: Callable[[LoadReport], float]


@dataclass(frozen=True, slots=True)
class Workload:
    """One run of the load generator. `options` are its arguments beyond ports and processes.

    `environment` is what servers get beside their own, and peers do not read.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    options: Options
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def shortened(self) -> "Workload":
        """The same with less of everything, for a first impression."""
        less: Options = {"warmup-seconds": 0.5, "seconds": 1.2, "settle-seconds": 0.2}
        if self.name == "storm":
            less["clients"] = 1000
        return replace(self, options=self.options | less)


# The kernel counts CPU in steps of this; less than one is not nothing.
_CPU_STEP_S = 0.01


def _measured(report: LoadReport) -> Span:
    if report.measured is None:
        raise ValueError("this workload publishes nothing that could be measured")
    return report.measured


def _deliveries_per_cpu_second(report: LoadReport) -> float:
    span = _measured(report)
    return span.deliveries / max(span.server_cpu_s, _CPU_STEP_S)


def _events_per_cpu_second(report: LoadReport) -> float:
    span = _measured(report)
    return span.events / max(span.server_cpu_s, _CPU_STEP_S)


def _connects_per_cpu_second(report: LoadReport) -> float:
    return report.connects / max(report.connecting.server_cpu_s, _CPU_STEP_S)


def _kib_per_connection(report: LoadReport) -> float:
    return (report.kib_after - report.kib_before) / report.connects


DELIVERIES = Metric("deliveries", "deliveries per CPU-second", True, _deliveries_per_cpu_second)
DROPPED = Metric("dropped", "events per CPU-second", True, _events_per_cpu_second)
REQUESTS = Metric("requests", "requests per CPU-second", True, _deliveries_per_cpu_second)
CONNECTS = Metric("connects", "connects per CPU-second", True, _connects_per_cpu_second)
MEMORY = Metric("memory", "KiB per connection", False, _kib_per_connection)
P50 = Metric("p50", "ms publish to receive, p50", False, lambda report: report.p50_ms)
P99 = Metric("p99", "ms publish to receive, p99", False, lambda report: report.p99_ms)

_MEASURING: Options = {"warmup-seconds": 2, "seconds": 4, "settle-seconds": 0.5}


def _fanout(clients: int = 1000, in_flight: int = 1, chats: int = 1) -> Options:
    sizes: Options = {"clients": clients, "warm-clients": min(100, clients // 10), "chats": chats}
    return _MEASURING | sizes | {"workload": "fanout", "in-flight": in_flight}


def _connect(clients: int, chats: int, settle_seconds: float) -> Options:
    sizes: Options = {"clients": clients, "warm-clients": 200, "chats": chats, "at-once": 128}
    return sizes | {"workload": "connect", "settle-seconds": settle_seconds}


_TO_USERS: Options = _MEASURING | {"clients": 1000, "chats": 0, "in-flight": 8}
# At a beat of its own: who takes longer gets as many events to spread its wake-ups over.
_PACED: Options = _TO_USERS | {"workload": "latency", "rate": 5000}
# Below the gateway's bound of 1,000 requests that wait for Redis, should the machine pause.
_REQUESTS: Options = _PACED | {"workload": "requests", "rate": 10_000, "in-flight": 500}
_TABLE = {"CONSTELLATION_INTERFACE_FILE": str(Path(__file__).parent / "requests.toml")}
_STEADY: Options = _MEASURING | {"clients": 50, "warm-clients": 10, "chats": 1, "rate": 200}
# A collector or allocator that gives memory back soon gets the time for it.
_QUIET_SECONDS = 3.0

QUICK = (
    Workload("fanout-1", "Fan-out to 1,000, 1 event in flight", (DELIVERIES,), _fanout()),
    Workload(
        "fanout-8", "Fan-out to 1,000, 8 events in flight", (DELIVERIES,), _fanout(in_flight=8)
    ),
    Workload(
        "unicast", "Unicast to 1,000 users", (DELIVERIES,), _TO_USERS | {"workload": "unicast"}
    ),
    Workload(
        "unicast-paced", "5,000 events a second, each to one of 1,000 users", (DELIVERIES,), _PACED
    ),
    Workload(
        "dropped",
        "Events without a local recipient",
        (DROPPED,),
        _TO_USERS | {"workload": "dropped"},
    ),
    Workload(
        "requests",
        "10,000 requests a second, published and acknowledged",
        (REQUESTS,),
        _REQUESTS,
        _TABLE,
    ),
    Workload("latency", "200 events a second to 50", (P50, P99), _STEADY | {"workload": "latency"}),
    Workload("storm", "Connect storm", (CONNECTS,), _connect(4000, 0, 0.5)),
    Workload("idle-2000", "2,000 idle connections", (MEMORY,), _connect(2000, 1, _QUIET_SECONDS)),
)
_LONG = (
    Workload(
        "unicast-64",
        "Unicast to 1,000 users, 64 events in flight",
        (DELIVERIES,),
        _TO_USERS | {"workload": "unicast", "in-flight": 64},
    ),
    Workload(
        "idle-10000", "10,000 idle connections", (MEMORY,), _connect(10000, 1, _QUIET_SECONDS)
    ),
    # Growth: beside fanout-1, which has 1,000 recipients with one chat each.
    Workload("recipients-100", "Fan-out to 100", (DELIVERIES,), _fanout(clients=100)),
    Workload("recipients-10000", "Fan-out to 10,000", (DELIVERIES,), _fanout(clients=10000)),
    Workload(
        "rooms-10", "Fan-out to 1,000, 10 chats each", (DELIVERIES, MEMORY), _fanout(chats=10)
    ),
    Workload(
        "rooms-50", "Fan-out to 1,000, 50 chats each", (DELIVERIES, MEMORY), _fanout(chats=50)
    ),
)
WORKLOADS = QUICK + _LONG
