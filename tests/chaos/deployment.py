"""What a run needs before its clients come: Redis, gateways, and a load balancer."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.balancer import balancer
from tests.chaos.names import SETTINGS
from tests.chaos.pods import Pods
from tests.chaos.topologies import TOPOLOGIES, Topology
from tests.partitions import LOG_PARTITIONS


def now_ms() -> int:
    """The wall clock, as Node.js reads it too."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Deployment:
    """Gateways that are ready, and what is around them."""

    kind: str
    """Of the topology."""
    topology: Topology
    pods: Pods
    port: int
    """Of the load balancer."""

    def suits(self, kind: str, pod_count: int) -> bool:
        return (self.kind, len(self.pods.pods)) == (kind, pod_count)


@asynccontextmanager
async def deployed(
    folder: Path, kind: str, pod_count: int, partitions: int = 1
) -> AsyncIterator[Deployment]:
    """Start everything; all logs are in `folder`, those of an earlier run no more."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pods").mkdir(parents=True, exist_ok=True)
    async with TOPOLOGIES[kind](folder / "redis") as topology:
        settings = SETTINGS | ({LOG_PARTITIONS: partitions} if partitions > 1 else {})
        pods = Pods(
            folder / "pods", topology.url, settings, pod_count, now_ms, is_clocked=kind == "clocked"
        )
        try:
            await pods.start()
            async with balancer(folder, pods.ports) as port:
                yield Deployment(kind, topology, pods, port)
        finally:
            await pods.stop()
