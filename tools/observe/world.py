"""All of the local view, held together: Valkey, pods, traces, Prometheus, the load."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from constellation_ws.cli import local
from constellation_ws.settings.settings import Settings
from tools.observe import load
from tools.observe.page import Page, running_page
from tools.observe.pods import DRAIN_SECONDS, Pods, running_pods
from tools.observe.prometheus import HOST, Prometheus, running_prometheus
from tools.observe.traces import Traces, running_traces

_PAGE_PORT, _PROMETHEUS_PORT, _TRACES_PORT = 3000, 9090, 4318
_GATEWAY = {
    "CONSTELLATION_LOG_LEVEL": "error",
    # Nobody is away for longer, and the log of the demo stays small.
    "CONSTELLATION_RECOVERY_WINDOW_SECONDS": "60",
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": str(DRAIN_SECONDS),
    # The pods of one machine.
    "CONSTELLATION_PEER_PORT": "0",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}


@dataclass(frozen=True, slots=True)
class World:
    """What is running, and where."""

    pods: Pods
    prometheus: Prometheus
    traces: Traces
    page: Page
    place: local.LocalEndpoint


@asynccontextmanager
async def running_world(values: Settings, stop: asyncio.Event) -> AsyncIterator[World]:
    """Hold all of it under load. Raises local.CannotStart."""
    prometheus_port = local.free_port(_PROMETHEUS_PORT, HOST, must=False)
    page_port = local.free_port(_PAGE_PORT, HOST, must=False)
    traces_port = local.free_port(_TRACES_PORT, HOST, must=False)
    with tempfile.TemporaryDirectory() as folder, local.place(values, {}) as first:
        async with (
            running_traces(traces_port) as traces,
            running_prometheus(Path(folder), prometheus_port) as prometheus,
            running_pods(
                first,
                _GATEWAY | {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url},
                stop,
                prometheus.watch,
            ) as pods,
            running_page(page_port, prometheus, traces.url) as page,
            asyncio.TaskGroup() as loading,
        ):
            task = loading.create_task(load.run(first.redis_url, traces.url, lambda: pods.open))
            yield World(pods, prometheus, traces, page, first)
            task.cancel()
