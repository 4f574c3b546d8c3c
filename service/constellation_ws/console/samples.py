"""What a pod measures for the charts, from counters that it has anyway. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

STEP_SECONDS = 5.0
KEPT_SECONDS = 900
"""What the charts show."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One step: how many clients there were at its end, and rates per second."""

    clients: int
    events: float
    deliveries: float
    connects: float
    lag_ms: float
    """The 99th percentile of the event loop's lag."""
    write_ms: float
    """The 99th percentile of the time from the log to the sockets; 0 if nothing was delivered."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of the process, at one moment."""

    at: float
    """Monotonic seconds."""
    clients: int
    events: int
    deliveries: int
    connects: int
    lag: Sequence[int]
    """Counts of buckets, as the next ones."""
    write: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The upper ends of the buckets, in seconds."""

    lag: Sequence[float]
    write: Sequence[float]


def sample(before: Counters, after: Counters, bounds: Bounds) -> Sample:
    """Give what happened in between."""
    seconds = max(after.at - before.at, 1e-3)
    return Sample(
        after.clients,
        round((after.events - before.events) / seconds, 2),
        round((after.deliveries - before.deliveries) / seconds, 2),
        round((after.connects - before.connects) / seconds, 2),
        _percentile_ms(before.lag, after.lag, bounds.lag),
        _percentile_ms(before.write, after.write, bounds.write),
    )


def _percentile_ms(
    before: Sequence[int], after: Sequence[int], bounds: Sequence[float], share: float = 0.99
) -> float:
    """Estimate a percentile as Prometheus does: evenly spread within its bucket."""
    counts = [new - old for old, new in zip(before, after, strict=True)]
    rank, below = share * sum(counts), 0
    if not rank:
        return 0.0
    for index, (count, end) in enumerate(zip(counts, bounds, strict=False)):
        if count and below + count >= rank:
            begin = bounds[index - 1] if index else 0.0
            return round((begin + (end - begin) * (rank - below) / count) * 1_000, 2)
        below += count
    return round(bounds[-1] * 1_000, 2)


class Samples:
    """The samples of the last 15 minutes."""

    def __init__(self, bounds: Bounds, first: Counters) -> None:
        self._bounds = bounds
        self._last = first
        self._samples: deque[Sample] = deque(maxlen=int(KEPT_SECONDS / STEP_SECONDS))

    def add(self, counters: Counters) -> None:
        """Take note of the counters at the end of a step."""
        self._samples.append(sample(self._last, counters, self._bounds))
        self._last = counters

    @property
    def newest(self) -> Sample | None:
        """The last step; None before the first has ended."""
        return self._samples[-1] if self._samples else None

    def age_seconds(self, now: float) -> float:
        """Return how old the newest sample is."""
        return max(0.0, now - self._last.at)

    def all(self) -> list[Sample]:
        """Give all of them, the oldest first."""
        return list(self._samples)
