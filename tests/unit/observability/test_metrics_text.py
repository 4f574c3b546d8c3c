"""The text of `/metrics`: of now, and in a flood the last one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.registry import Collector

from constellation_ws.observability.metrics_text import MetricsText

SECONDS = 0.01


class Slow(Collector):
    """A metric that takes some time."""

    def __init__(self) -> None:
        self.now, self.made = 1_000.0, 0

    def __call__(self) -> float:
        return self.now

    def collect(self) -> list[object]:  # type: ignore[override]  # nothing of it is read
        self.now += SECONDS
        self.made += 1
        return []


def test_each_request_gets_the_metrics_of_now() -> None:
    registry = CollectorRegistry()
    count = Counter("things", "Things.", registry=registry)
    text = MetricsText(registry)
    for number in range(3):
        assert f"things_total {number}.0".encode() in text.read("")[0]
        count.inc()


def test_the_format_is_the_accepted_one() -> None:
    text = MetricsText(CollectorRegistry())
    assert text.read("")[1].startswith("text/plain")
    body, content_type = text.read("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body == b"# EOF\n"


def test_a_flood_takes_a_fiftieth_of_the_time() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow()
    text = MetricsText(registry, slow)
    registry.register(slow)
    slow.made = 0
    for _ in range(10_000):
        text.read("")
        slow.now += 0.001
    assert 30 < slow.made < 80
    slow.now += 60
    before = slow.made
    for _ in range(20):
        text.read("")
    assert slow.made == before + 20
