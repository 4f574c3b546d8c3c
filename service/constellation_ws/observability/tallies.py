"""Counters and histograms for the hot path: added to without a lock, read at each scrape.

prometheus_client's own take a lock and look their labels up: 2 us, a sixth of a delivery. All that
adds to these runs on one event loop. What is counted is decided in `metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


class Count:
    """How often something happened; add to `value`, never take away."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Tally(Collector):
    """A counter whose labels are looked up once, by the code that counts."""

    def __init__(
        self, name: str, help_text: str, labels: list[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._help, self._labels = name, help_text, labels
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def of(self, *values: str) -> Count:
        """Give what is counted under these values of the labels; shown from now on, even as 0."""
        return self._counts.setdefault(values, Count())

    def add(self, *values: str) -> None:
        """Count one thing under these values."""
        self.of(*values).value += 1

    def total(self, *values: str) -> int:
        """Sum the counts whose first labels have these values; all of them where none is given."""
        return sum(
            count.value for found, count in self._counts.items() if found[: len(values)] == values
        )

    def collect(self) -> Iterable[Metric]:
        """Give the counts as Prometheus samples."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        return [family]


class Buckets:
    """How long something took, each time: one bisect and two additions."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the buckets' upper ends, in order; the one without an end is added."""
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, Exemplar] = {}
        self._sum = 0.0

    def counts(self) -> tuple[int, ...]:
        """Give how often each bucket was hit, that without an end last."""
        return tuple(self._counts)

    def add(self, seconds: float, times: int = 1) -> None:
        """Count what took so long, never below 0, as often as it was seen."""
        self._counts[bisect_left(self.bounds, seconds)] += times
        self._sum += seconds * times

    def add_between(self, least: float, most: float, times: int) -> bool:
        """Count what took something between; False where that is not within one bucket.

        Within one bucket it is the sum alone that takes the middle for each.
        """
        bucket = bisect_left(self.bounds, least)
        if bucket != bisect_left(self.bounds, most):
            return False
        self._counts[bucket] += times
        self._sum += (least + most) / 2 * times
        return True

    def show(self, seconds: float, trace: Mapping[str, str], unix_time: float) -> None:
        """Name the trace of something that was counted, in place of its bucket's last one."""
        bucket = bisect_left(self.bounds, seconds)
        self._exemplars[bucket] = Exemplar(dict(trace), seconds, unix_time)

    def show_in(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Give the buckets as Prometheus samples; only OpenMetrics shows the traces."""
        buckets, total = list[tuple[str, float] | tuple[str, float, Exemplar]](), 0
        for index, end in enumerate((*map(str, map(float, self.bounds)), "+Inf")):
            total += self._counts[index]
            exemplar = self._exemplars.get(index)
            buckets.append((end, total) if exemplar is None else (end, total, exemplar))
        family.add_metric(labels, buckets, self._sum)


class Durations(Buckets, Collector):
    """A histogram of seconds."""

    def __init__(
        self, name: str, help_text: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """`bounds` as of `Buckets`."""
        super().__init__(bounds)
        self._name, self._help = name, help_text
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give it as Prometheus samples."""
        family = HistogramMetricFamily(self._name, self._help)
        self.show_in(family)
        return [family]


class DurationsBy(Collector):
    """A histogram of seconds whose label is looked up once, by the code that counts."""

    def __init__(
        self,
        name: str,
        help_text: str,
        label: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """`bounds` as of `Buckets`."""
        self._name, self._help, self._label, self._bounds = name, help_text, label, bounds
        self._buckets: dict[str, Buckets] = {}
        registry.register(self)

    def of(self, value: str) -> Buckets:
        """Give what is counted under this value of the label; shown from now on, even as 0."""
        return self._buckets.setdefault(value, Buckets(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """Give it as Prometheus samples."""
        family = HistogramMetricFamily(self._name, self._help, labels=[self._label])
        for value, buckets in self._buckets.items():
            buckets.show_in(family, [value])
        return [family]


class Total(Collector):
    """A counter that is kept elsewhere, and read at each scrape."""

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._name, self._help, self._read = name, help_text, read

    def collect(self) -> Iterable[Metric]:
        """Give the count as a Prometheus sample."""
        return [CounterMetricFamily(self._name, self._help, self._read())]
