"""Counters and histograms of the hot path, as a scraper sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as families

from constellation_ws.observability.tallies import Durations, DurationsBy, Tally

BOUNDS = (0.001, 0.01, 0.1)
NAME = "constellation_write_duration_seconds"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and label values, as a scraper sees them."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(generate_latest(registry).decode())
        for sample in family.samples
    }


def traces(registry: CollectorRegistry) -> dict[str, tuple[str, float, float]]:
    """Trace, seconds and time of each bucket that names one."""
    return {
        sample.labels["le"]: (
            exemplar.labels["trace_id"],
            exemplar.value,
            float(exemplar.timestamp or 0),
        )
        for family in openmetrics_families(generate_openmetrics(registry).decode())
        for sample in family.samples
        if (exemplar := sample.exemplar) is not None
    }


def test_a_tally_shows_what_was_added_under_each_label(registry: CollectorRegistry) -> None:
    tally = Tally("constellation_events", "Events.", ["channel", "outcome"], registry)
    assert samples(registry) == {}
    delivered, malformed = tally.of("chat:new", "delivered"), tally.of('we"ird\n', "malformed")
    delivered.value += 3
    assert tally.of("chat:new", "delivered") is delivered
    assert samples(registry) == {
        ("constellation_events_total", ("chat:new", "delivered")): 3,
        ("constellation_events_total", ('we"ird\n', "malformed")): 0,
    }
    malformed.value += 2
    assert samples(registry)["constellation_events_total", ('we"ird\n', "malformed")] == 2
    assert (tally.total(), tally.total("chat:new"), tally.total("chat:typing")) == (5, 3, 0)


def test_a_histogram_is_there_before_anything_has_happened(registry: CollectorRegistry) -> None:
    Durations(NAME, "Writes.", BOUNDS, registry)
    values = samples(registry)
    assert values[f"{NAME}_bucket", ("+Inf",)] == values[f"{NAME}_sum", ()] == 0


@given(st.lists(st.sampled_from((0.0, 0.0005, 0.001, 0.0011, 0.01, 0.05, 0.1, 0.2, 7.0))))
def test_a_histogram_is_the_same_as_prometheus_clients(seen: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations(NAME, "Writes.", BOUNDS, ours)
    histogram = Histogram(NAME, "Writes.", buckets=BOUNDS, registry=theirs)
    for seconds in seen:
        durations.add(seconds)
        histogram.observe(seconds)
    created = (f"{NAME}_created", ())
    expected = {key: value for key, value in samples(theirs).items() if key != created}
    assert samples(ours) == pytest.approx(expected)


def test_what_is_seen_often_is_counted_in_one_go(registry: CollectorRegistry) -> None:
    durations = Durations(NAME, "Writes.", BOUNDS, registry)
    durations.add(0.005, 40)
    values = samples(registry)
    assert values[f"{NAME}_bucket", ("0.001",)] == 0
    assert values[f"{NAME}_bucket", ("0.01",)] == values[f"{NAME}_count", ()] == 40
    assert values[f"{NAME}_sum", ()] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("least", "most", "is_one_bucket"),
    [(0.002, 0.009, True), (0.002, 0.01, True), (0.001, 0.002, False), (0.09, 0.2, False)],
)
def test_what_lies_within_one_bucket_is_counted_in_one_go(
    registry: CollectorRegistry, least: float, most: float, is_one_bucket: bool
) -> None:
    durations = Durations(NAME, "Writes.", BOUNDS, registry)
    assert durations.add_between(least, most, 4) is is_one_bucket
    values = samples(registry)
    assert values[f"{NAME}_count", ()] == (4 if is_one_bucket else 0)
    assert values[f"{NAME}_sum", ()] == (pytest.approx(2 * (least + most)) if is_one_bucket else 0)


def test_the_last_trace_of_each_bucket_is_shown_to_who_reads_openmetrics(
    registry: CollectorRegistry,
) -> None:
    durations = Durations(NAME, "Writes.", BOUNDS, registry)
    for seconds, trace_id, unix_time in ((0.005, "a", 1.0), (0.006, "b", 2.0), (3.0, "c", 3.0)):
        durations.add(seconds)
        durations.show(seconds, {"trace_id": trace_id}, unix_time)
    assert traces(registry) == {"0.01": ("b", 0.006, 2.0), "+Inf": ("c", 3.0, 3.0)}
    assert "trace_id" not in generate_latest(registry).decode()


def test_durations_by_a_label_are_histograms_of_their_own(registry: CollectorRegistry) -> None:
    durations = DurationsBy(NAME, "Writes.", "backend", BOUNDS, registry)
    durations.of("a").add(0.005)
    durations.of("a").add(0.5)
    assert durations.of("b") is durations.of("b")
    counts = {name: registry.get_sample_value(f"{NAME}_count", {"backend": name}) for name in "ab"}
    assert counts == {"a": 2, "b": 0}
    assert registry.get_sample_value(f"{NAME}_sum", {"backend": "a"}) == 0.505
