"""The metrics' names and labels, and that they stay few."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families as families

from service import __version__
from service.metrics import Metrics, Tally

# What dashboards and alerts are written against: a name may be added, none may change.
LABELS = {
    "connects": ("code",),
    "disconnects": ("reason",),
    "requests": ("event", "outcome"),
    "events": ("channel", "outcome"),
    "deliveries": ("event",),
    "commands": ("kind",),
    "slow_consumers": (),
    "redis_reconnects": ("reason",),
    "redis_round_trip": (),
    "tcp_connections": (),
    "tcp_refused": ("reason",),
    "tcp_requests": ("pattern", "outcome"),
    "build": ("version", "python"),
}
NAMES = {
    "constellation_connects",
    "constellation_disconnects",
    "constellation_client_requests",
    "constellation_events",
    "constellation_deliveries",
    "constellation_commands",
    "constellation_slow_consumers",
    "constellation_redis_reconnects",
    "constellation_redis_round_trip_seconds",
    "constellation_tcp_connections",
    "constellation_tcp_refused",
    "constellation_tcp_request_duration_seconds",
    "constellation_build_info",
    "constellation_asyncio_tasks",
    "process_open_fds",
    "process_resident_memory_bytes",
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and label values, as a scraper sees them."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(generate_latest(registry).decode())
        for sample in family.samples
    }


async def test_the_names_are_those_that_dashboards_know(metrics: Metrics) -> None:
    names = {family.name for family in families(generate_latest(metrics.registry).decode())}
    assert names >= NAMES


async def test_every_metric_says_what_it_counts(metrics: Metrics) -> None:
    for family in metrics.registry.collect():
        if family.name.startswith("constellation_"):
            assert re.fullmatch(r"[A-Z1].*\.", family.documentation), family.name


@pytest.mark.parametrize(("attribute", "labels"), LABELS.items())
def test_labels_are_words_of_ours_and_never_ids(
    metrics: Metrics, attribute: str, labels: tuple[str, ...]
) -> None:
    metric = getattr(metrics, attribute)
    known = metric._labelnames if isinstance(metric, MetricWrapperBase) else metric._labels
    assert tuple(known) == labels
    assert not {"user", "room", "sid", "chat", "id"} & set(labels)


async def test_the_build_names_its_version(metrics: Metrics) -> None:
    values = samples(metrics.registry)
    (build,) = [labels for (name, labels) in values if name == "constellation_build_info"]
    assert __version__ in build


async def test_tasks_are_counted_at_each_scrape(metrics: Metrics) -> None:
    # This test is one.
    assert samples(metrics.registry)["constellation_asyncio_tasks", ()] >= 1


async def test_a_watched_gauge_is_read_at_each_scrape(metrics: Metrics) -> None:
    rooms: set[str] = set()
    metrics.watch("constellation_rooms", "Rooms.", lambda: float(len(rooms)))
    assert samples(metrics.registry)["constellation_rooms", ()] == 0
    rooms.add("chat:1")
    assert samples(metrics.registry)["constellation_rooms", ()] == 1


async def test_a_gauge_with_a_label_has_the_values_of_the_moment(metrics: Metrics) -> None:
    counts = {"websocket": 2.0, "polling": 1.0}
    metrics.watch_by("constellation_connections", "By transport.", "transport", lambda: counts)
    values = samples(metrics.registry)
    assert values["constellation_connections", ("websocket",)] == 2
    assert values["constellation_connections", ("polling",)] == 1
    counts.clear()
    gone = [name for name, _ in samples(metrics.registry) if name == "constellation_connections"]
    assert gone == []


@pytest.mark.parametrize("again", ["constellation_connects", "constellation_rooms"])
def test_a_name_is_taken_once(metrics: Metrics, again: str) -> None:
    metrics.watch_by("constellation_rooms", "Rooms.", "kind", dict)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics.watch(again, "Again.", lambda: 0.0)


def test_a_tally_shows_what_was_added_under_each_label() -> None:
    registry = CollectorRegistry()
    tally = Tally("constellation_events", "Events.", ["channel", "outcome"], registry)
    assert samples(registry) == {}
    for _ in range(3):
        tally.counts["chat:new", "delivered"] += 1
    tally.counts['we"ird\n', "malformed"] += 2
    assert samples(registry) == {
        ("constellation_events_total", ("chat:new", "delivered")): 3,
        ("constellation_events_total", ('we"ird\n', "malformed")): 2,
    }


async def test_two_gateways_in_one_process_count_apart() -> None:
    a, b = Metrics(), Metrics()
    a.slow_consumers.inc()
    a.deliveries.counts[("new-chat",)] += 1
    values = samples(b.registry)
    assert values["constellation_slow_consumers_total", ()] == 0
    assert ("constellation_deliveries_total", ("new-chat",)) not in values
