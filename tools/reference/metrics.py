"""The table of metrics: every metric of a gateway with its labels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from constellation_ws.settings.settings import defaults
from constellation_ws.wiring import gauges
from constellation_ws.wiring.gateway import Gateway
from tools.reference import Row, table

_PREFIX = "constellation_"


def block() -> str:
    return table(("Metric", "Type", "Labels", "Meaning"), asyncio.run(rows()))


def made_gateway() -> Gateway:
    """Make a gateway with default settings that never runs."""
    gateway = Gateway(defaults(), lambda work: None)
    gauges.register(gateway)
    return gateway


async def rows() -> list[Row]:
    """Describe every metric, sorted. A gateway is made within an event loop only."""
    return sorted(_rows(made_gateway().metrics.registry))


def _rows(registry: CollectorRegistry) -> Iterable[Row]:
    # prometheus_client shows a metric's labels only once it has samples; these names are private.
    for collector in registry._collector_to_names:
        for family in collector.collect():
            if not family.name.startswith(_PREFIX):
                continue
            labels = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
            suffix = "_total" if family.type == "counter" else ""
            names = ", ".join(f"`{label}`" for label in labels)
            yield f"`{family.name}{suffix}`", family.type, names, family.documentation
