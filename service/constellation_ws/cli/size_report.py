"""What `size` has computed, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from constellation_ws.cli.reporting import to_table
from constellation_ws.cli.sizing.deployment import Sizing
from constellation_ws.cli.sizing.load import Load
from constellation_ws.cli.sizing.provision import Storm
from constellation_ws.cli.sizing.unit_costs import OF_MODE
from constellation_ws.cli.sizing.usage import Cpu, Memory

_MIB = 1 << 20
Row = tuple[str, ...]


_ROLES = {
    "recorder": "the recorder",
    "listener": "each other listener",
    "pod": "each other pod",
    "redis": "Redis",
}


def to_text(sizing: Sizing) -> str:
    """Write it for people: figures first, then how each was computed."""
    parts = [
        to_table(_summary(sizing)),
        to_table([("CPU", "millicores", "number a second × unit cost"), *_cpu_rows(sizing)]),
        to_table([("memory", "MiB", "number × unit cost"), *_memory_rows(sizing)]),
        to_table(
            [("network", "Mbit/s in", "out", "number a second × unit"), *_network_rows(sizing)]
        ),
        to_table([("if a pod dies", "", ""), *_storm_rows(sizing)]),
        to_table([("a core is full at", "events a second"), *_limit_rows(sizing)]),
    ]
    if sizing.notes:
        parts.append("\n".join(f"note: {one}" for one in sizing.notes))
    parts.append("\n".join(f"FAILED: {one}" for one in sizing.problems) or "ok: it fits")
    return "\n\n".join(parts)


def _summary(sizing: Sizing) -> Iterator[Row]:
    load, requests = sizing.load, sizing.requests
    rate = f"{_number(load.events_per_second)} events/s of {load.event_bytes:,} bytes"
    yield "load", f"{load.users:,} users, {rate}, each for {_number(load.recipients)} of them"
    yield "delivery", f"{sizing.mode}{_log(sizing)}"
    yield "pods", f"{sizing.pods}{' (suggested)' * sizing.is_suggested}"
    cpu, memory = requests.cpu_millicores, requests.memory_bytes // _MIB
    yield "each pod", f"CPU request {cpu}m, no CPU limit, memory limit {memory}Mi"
    redis = math.ceil(sizing.cpu["redis"].millicores)
    yield "Redis", f"CPU {redis}m of one core, maxmemory {requests.redis_memory_bytes // _MIB}mb"


def _log(sizing: Sizing) -> str:
    if sizing.mode == "live":
        return ""
    log, listening = sizing.log, sizing.log.listening(sizing.pods)
    partitions = "1 partition" if log.partitions == 1 else f"{log.partitions} partitions"
    who = "all pods listen" if listening == sizing.pods else f"{listening} of the pods listen"
    return f", window {_number(sizing.load.window_seconds)} s, {partitions}, {who}"


def _cpu_rows(sizing: Sizing) -> Iterator[Row]:
    for role, cpu in sizing.cpu.items():
        yield _name(sizing, role), f"{cpu.millicores:10,.1f}", ""
        for term in cpu.terms:
            if term.millicores:
                each = f"{_number(term.per_second)} × {_number(term.unit_us)} us"
                yield f"  {term.what}", f"{term.millicores:10,.1f}", each


def _memory_rows(sizing: Sizing) -> Iterator[Row]:
    for role, memory in sizing.memory.items():
        yield "each pod" if role == "pod" else "Redis", _mib(memory.bytes), ""
        for part in memory.parts:
            if part.bytes:
                each = f"{_number(part.count)} × {part.unit_bytes:,} bytes"
                yield f"  {part.what}", _mib(part.bytes), each


def _network_rows(sizing: Sizing) -> Iterator[Row]:
    for role, traffic in sizing.network.items():
        one = f"{_number(traffic.events_per_second)} × {traffic.copy_bytes:,} bytes"
        copies = f"{_number(traffic.copies_received)} and {_number(traffic.copies_sent)} copies"
        received, sent = _mbit(traffic.received), _mbit(traffic.sent)
        yield _name(sizing, role), received, sent, f"{one}, {copies}"


def _storm_rows(sizing: Sizing) -> Iterator[Row]:
    storm, costs = sizing.storm, OF_MODE[sizing.mode]
    back = "never, no CPU is left" if math.isinf(storm.seconds) else f"{storm.seconds:.1f} s"
    yield "clients that reconnect", f"{storm.clients:,}", ""
    rate = f"{_number(storm.connects_per_second)} a second on {storm.survivors} left"
    yield "  until all are back", back, rate
    yield "  CPU of the pods", f"{storm.pod_cpu_seconds:.1f} s", f"{costs.reconnect_us:,g} us each"
    of_redis = f"{costs.redis_reconnect_us:,g} us each"
    yield "  CPU of Redis", f"{storm.redis_cpu_seconds:.1f} s", of_redis


def _limit_rows(sizing: Sizing) -> Iterator[Row]:
    full = sizing.full_at
    if sizing.mode == "durable":
        yield _name(sizing, "recorder"), _rough(full.recorder)
    if "pod" in sizing.cpu:
        yield _name(sizing, "pod"), _rough(full.pod)
    yield "Redis", _rough(full.redis)


def _name(sizing: Sizing, role: str) -> str:
    if role == "pod" and sizing.mode == "live":
        return "each pod"
    return "each recorder" if role == "recorder" and sizing.log.partitions > 1 else _ROLES[role]


def _number(value: float) -> str:
    """Write a count with as many digits as are of use."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.3g}"


def _rough(value: float) -> str:
    """Write it with two digits: the costs that it is computed from are no better."""
    return f"{float(f'{value:.2g}'):,.0f}"


def _mib(size: float) -> str:
    return f"{size / _MIB:8,.1f}"


def _mbit(bytes_per_second: float) -> str:
    return f"{bytes_per_second * 8 / 1e6:,.2f}"


def facts(sizing: Sizing) -> Mapping[str, Any]:
    """Give all of it for programs."""
    requests, full = sizing.requests, sizing.full_at
    found = {
        "load": _load_facts(sizing.load),
        "delivery": sizing.mode,
        "log": _log_facts(sizing),
        "pods": sizing.pods,
        "podsAreSuggested": sizing.is_suggested,
        "cpu": {role: _cpu_facts(cpu) for role, cpu in sizing.cpu.items()},
        "memory": {role: _memory_facts(memory) for role, memory in sizing.memory.items()},
        "network": {
            role: {"receivedBytesPerSecond": one.received, "sentBytesPerSecond": one.sent}
            for role, one in sizing.network.items()
        },
        "storm": _storm_facts(sizing.storm),
        "fullAtEventsPerSecond": {
            "recorder": full.recorder if sizing.mode == "durable" else None,
            "pod": full.pod,
            "redis": full.redis,
        },
        "suggested": {
            "cpuRequestMillicores": requests.cpu_millicores,
            "memoryLimitBytes": requests.memory_bytes,
            "redisMaxMemoryBytes": requests.redis_memory_bytes,
        },
        "problems": list(sizing.problems),
        "notes": list(sizing.notes),
    }
    return {name: _rounded(value) for name, value in found.items()}


def _rounded(value: Any) -> Any:
    """Write a number with as many digits as can be of use: six, or all before the point."""
    match value:
        case float():
            short = float(f"{value:.6g}")
            return short if abs(value) < 1e5 else round(value)
        case dict():
            return {name: _rounded(one) for name, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


def _log_facts(sizing: Sizing) -> Mapping[str, Any] | None:
    if sizing.mode == "live":
        return None
    log, listening = sizing.log, sizing.log.listening(sizing.pods)
    packing = "auto" if log.is_packed else "off"
    return {"partitions": log.partitions, "listeners": listening, "packing": packing}


def _load_facts(load: Load) -> Mapping[str, Any]:
    return {
        "users": load.users,
        "eventsPerSecond": load.events_per_second,
        "recipients": load.recipients,
        "eventBytes": load.event_bytes,
        "windowSeconds": load.window_seconds,
    }


def _memory_facts(memory: Memory) -> Mapping[str, Any]:
    parts = [
        {"what": one.what, "count": one.count, "unitBytes": one.unit_bytes, "bytes": one.bytes}
        for one in memory.parts
    ]
    return {"bytes": memory.bytes, "parts": parts}


def _storm_facts(storm: Storm) -> Mapping[str, Any]:
    return {
        "clients": storm.clients,
        "survivors": storm.survivors,
        "connectsPerSecond": storm.connects_per_second,
        "podCpuSeconds": storm.pod_cpu_seconds,
        "redisCpuSeconds": storm.redis_cpu_seconds,
        "seconds": None if math.isinf(storm.seconds) else storm.seconds,
    }


def _cpu_facts(cpu: Cpu) -> Mapping[str, Any]:
    terms = [
        {
            "what": term.what,
            "perSecond": term.per_second,
            "unitMicroseconds": term.unit_us,
            "millicores": term.millicores,
        }
        for term in cpu.terms
    ]
    return {"millicores": cpu.millicores, "terms": terms}
