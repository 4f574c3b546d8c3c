"""What is told of a batch's times, by clocks that stand where the test puts them."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
from prometheus_client.samples import Exemplar

from constellation_ws.delivery import timing
from constellation_ws.delivery.timing import Timing
from constellation_ws.observability.metrics import Metrics

PUBLISHED, WROTE = "constellation_publish_to_write_seconds", "constellation_write_duration_seconds"
TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


class Clocks:
    """Both clocks, which go on when they are told."""

    def __init__(self) -> None:
        self.elapsed, self.unix = 50.0, 1_700_000_000.0

    def go_on(self, seconds: float) -> None:
        self.elapsed += seconds
        self.unix += seconds

    def perf_counter(self) -> float:
        return self.elapsed

    def time(self) -> float:
        return self.unix


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(timing, "time", clocks)
    return clocks


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def sum_and_count(metrics: Metrics, name: str) -> tuple[float, float]:
    read = metrics.registry.get_sample_value
    total, count = read(f"{name}_sum"), read(f"{name}_count")
    assert total is not None
    assert count is not None
    return total, count


def exemplars(metrics: Metrics, name: str) -> list[Exemplar]:
    return [
        sample.exemplar
        for family in families(generate_latest(metrics.registry).decode())
        for sample in family.samples
        if sample.exemplar is not None and sample.name == f"{name}_bucket"
    ]


async def test_a_logged_event_is_timed_from_its_entry_in_the_log(
    clocks: Clocks, metrics: Metrics
) -> None:
    timed = Timing(metrics)
    timed.begin()
    timed.count(b"1699999999900-0")
    timed.count(b"1699999999950-18446744073709551615")
    clocks.go_on(0.05)
    timed.end(b"1699999999970-0", age_seconds=0.03)
    assert sum_and_count(metrics, PUBLISHED) == (pytest.approx(0.15 + 0.1), 2)
    assert sum_and_count(metrics, WROTE) == (pytest.approx(0.05), 1)


async def test_events_of_one_read_count_in_the_buckets_of_their_own_ages(
    clocks: Clocks, metrics: Metrics
) -> None:
    timed = Timing(metrics)
    timed.begin()
    for milliseconds in (1699999960000, 1699999998000, 1699999999998, 1699999999999):
        timed.count(b"%d-0" % milliseconds)
    clocks.go_on(0.001)
    timed.end(b"1699999999999-0", age_seconds=0.0)
    read = metrics.registry.get_sample_value
    below = {
        le: read(f"{PUBLISHED}_bucket", {"le": le})
        for le in ("0.0005", "0.005", "1.0", "2.5", "+Inf")
    }
    assert below == {"0.0005": 0, "0.005": 2, "1.0": 2, "2.5": 3, "+Inf": 4}


async def test_without_a_log_an_event_is_timed_from_its_arrival(
    clocks: Clocks, metrics: Metrics
) -> None:
    timed = Timing(metrics)
    timed.begin()
    for _ in range(3):
        timed.count(b"")
    clocks.go_on(0.02)
    timed.end(b"", age_seconds=0.0)
    assert sum_and_count(metrics, PUBLISHED) == (pytest.approx(0.06), 3)
    assert sum_and_count(metrics, WROTE) == (pytest.approx(0.02), 1)


async def test_a_batch_that_nobody_gets_is_not_timed(clocks: Clocks, metrics: Metrics) -> None:
    timed = Timing(metrics)
    timed.begin()
    clocks.go_on(1)
    timed.end(b"", age_seconds=0.0)
    assert sum_and_count(metrics, WROTE) == sum_and_count(metrics, PUBLISHED) == (0, 0)


async def test_each_batch_is_timed_for_itself(clocks: Clocks, metrics: Metrics) -> None:
    timed = Timing(metrics)
    for _ in range(2):
        timed.begin()
        timed.count(b"")
        clocks.go_on(0.5)
        timed.end(b"", age_seconds=0.0)
        clocks.go_on(100)
    assert sum_and_count(metrics, PUBLISHED) == sum_and_count(metrics, WROTE) == (1.0, 2)


@pytest.mark.parametrize(("log_id", "waited"), [(b"1699999999900-7", 0.3), (b"", 0.2)])
async def test_the_times_of_a_traced_event_name_its_trace_once(
    clocks: Clocks, metrics: Metrics, log_id: bytes, waited: float
) -> None:
    timed = Timing(metrics)
    timed.begin()
    timed.count(log_id)
    timed.trace(TRACE, log_id)
    clocks.go_on(0.2)
    timed.end(log_id and b"1699999999950-0", age_seconds=0.05 if log_id else 0.0)
    (published,), (wrote,) = exemplars(metrics, PUBLISHED), exemplars(metrics, WROTE)
    assert published.labels == wrote.labels == {"trace_id": TRACE["trace_id"]}
    assert (published.value, wrote.value) == (pytest.approx(waited), pytest.approx(0.2))
    assert float(published.timestamp or 0) == float(wrote.timestamp or 0) == clocks.unix

    clocks.go_on(5)
    timed.begin()
    timed.count(log_id)
    timed.end(log_id, age_seconds=0.0)
    assert exemplars(metrics, PUBLISHED) == [published], "the next batch has no trace"
