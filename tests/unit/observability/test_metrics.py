"""The metrics' names and labels, and that they stay few."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families as families

from constellation_ws import __version__
from constellation_ws.observability.metrics import Metrics

# What dashboards and alerts are written against: a name may be added, none may change.
LABELS = {
    "connects": ("code",),
    "disconnects": ("reason",),
    "requests": ("event", "outcome"),
    "events": ("channel", "outcome"),
    "deliveries": ("event",),
    "commands": ("kind",),
    "slow_consumers": (),
    "reading_paused": (),
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
    "constellation_reading_paused",
    "constellation_redis_reconnects",
    "constellation_redis_round_trip_seconds",
    "constellation_tcp_connections",
    "constellation_tcp_refused",
    "constellation_tcp_request_duration_seconds",
    "constellation_publish_to_write_seconds",
    "constellation_write_duration_seconds",
    "constellation_event_loop_lag_seconds",
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
    metrics.register("constellation_rooms", "Rooms.", lambda: float(len(rooms)))
    assert samples(metrics.registry)["constellation_rooms", ()] == 0
    rooms.add("chat:1")
    assert samples(metrics.registry)["constellation_rooms", ()] == 1


@pytest.mark.parametrize(
    "again",
    [
        "constellation_connects",
        "constellation_rooms",
        "constellation_events",
        "constellation_write_duration_seconds",
    ],
)
def test_a_name_is_taken_once(metrics: Metrics, again: str) -> None:
    metrics.register("constellation_rooms", "Rooms.", lambda: 0.0)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        metrics.register(again, "Again.", lambda: 0.0)


async def test_a_watched_total_is_a_counter_read_at_each_scrape(metrics: Metrics) -> None:
    written = 3.0
    metrics.register_total("constellation_writes", "Writes.", lambda: written)
    assert samples(metrics.registry)["constellation_writes_total", ()] == 3
    written = 4.0
    assert samples(metrics.registry)["constellation_writes_total", ()] == 4


async def test_two_gateways_in_one_process_count_apart() -> None:
    a, b = Metrics(), Metrics()
    a.slow_consumers.inc()
    a.deliveries.of("new-chat").value += 1
    values = samples(b.registry)
    assert values["constellation_slow_consumers_total", ()] == 0
    assert ("constellation_deliveries_total", ("new-chat",)) not in values
