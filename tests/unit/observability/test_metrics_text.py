"""The text of `/metrics`: of now, and in a flood the last one."""

from __future__ import annotations

import asyncio

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

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_each_request_gets_the_metrics_of_now() -> None:
    registry = CollectorRegistry()
    count = Counter("things", "Things.", registry=registry)
    text = MetricsText(registry)
    for number in range(3):
        assert f"things_total {number}.0".encode() in (await text.read(""))[0]
        count.inc()


async def test_the_format_is_the_accepted_one() -> None:
    text = MetricsText(CollectorRegistry())
    assert (await text.read(""))[1].startswith("text/plain")
    body, content_type = await text.read("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body == b"# EOF\n"


async def test_those_that_wait_share_the_text_that_is_made_then() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow()
    may_go_on = asyncio.Event()

    async def wait(_: float) -> None:
        await may_go_on.wait()
        slow.now += 1

    text = MetricsText(registry, slow, wait)
    registry.register(slow)
    while not text._free_at > slow.now:
        await text.read("")
    made = slow.made
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(text.read(""))
        await asyncio.sleep(0)
        may_go_on.set()
    assert slow.made == made + 1


async def test_a_flood_takes_a_fifth_of_the_time() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow()
    text = MetricsText(registry, slow, slow.sleep)
    registry.register(slow)
    slow.made, began = 0, slow.now
    for _ in range(1_000):
        await text.read("")
    assert slow.made * SECONDS < (slow.now - began + 60) / 5
    slow.now += 60
    before = slow.made
    for _ in range(20):
        await text.read("")
    assert slow.made == before + 20
