"""The figures of a bench, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constellation_ws.cli.reporting import to_table

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Report:
    """What clients and publisher have counted."""

    clients: int
    refused: int
    """Clients that never connected."""
    pods: int
    published: int
    received: int
    lost: int
    """Events for a client that was connected once, and that never came."""
    doubled: int
    """How often an event came again."""
    reconnects: int
    recovered: int
    latencies: Sequence[float]
    """Seconds from PUBLISH to arrival, in order; the first arrival of each event."""
    connects: Sequence[float]
    """Seconds for the first connection, in order."""
    memory_bytes: float | None
    """What each client costs its pod; None where that cannot be read."""
    fault: str
    """Why a client never connected."""

    @property
    def has_failed(self) -> bool:
        """Whether anything was lost, doubled or refused."""
        return bool(self.lost or self.doubled or self.refused)

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs; times in milliseconds."""
        return {
            "clients": self.clients,
            "refused": self.refused,
            "pods": self.pods,
            "published": self.published,
            "received": self.received,
            "lost": self.lost,
            "doubled": self.doubled,
            "reconnects": self.reconnects,
            "recovered": self.recovered,
            "latencyMs": quantiles_ms(self.latencies),
            "connectMs": quantiles_ms(self.connects),
            "memoryBytesPerClient": None if self.memory_bytes is None else round(self.memory_bytes),
            "fault": self.fault or None,
        }

    def to_text(self) -> str:
        """Write it for people."""
        return to_table(self._rows())

    def _rows(self) -> Iterator[tuple[str, str]]:
        refused = f", {self.refused:,} refused ({self.fault})" if self.refused else ""
        yield "clients", f"{self.clients:,} on {self.pods} pod{'s' * (self.pods != 1)}{refused}"
        yield "connect", _written(self.connects)
        counts = f"{self.published:,} published, {self.received:,} received"
        yield "events", f"{counts}, {self.lost:,} lost, {self.doubled:,} doubled"
        yield "latency", _written(self.latencies)
        if self.reconnects:
            yield "reconnects", f"{self.reconnects:,}, {self.recovered:,} recovered"
        if self.memory_bytes is None:
            yield "memory", "not read: /metrics is not forwarded, or there are several pods"
        else:
            yield "memory", f"{self.memory_bytes / 1024:.1f} KiB a client"


def quantiles_ms(ordered: Sequence[float]) -> Mapping[str, float | None]:
    """Give quantiles of ordered seconds, in milliseconds."""
    return {name: _quantile_ms(ordered, share) for name, share in _SHARES.items()}


def _quantile_ms(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 3)


def _written(ordered: Sequence[float]) -> str:
    if not ordered:
        return "none"
    return ", ".join(f"{name} {value:.1f} ms" for name, value in quantiles_ms(ordered).items())
