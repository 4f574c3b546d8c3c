"""Gateways side by side on one Redis, each under a pod's name, and a roll: a new one for an old."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from constellation_ws.cli import local
from constellation_ws.cli.local import CannotStart, LocalEndpoint

DRAIN_SECONDS = 8
"""Long enough to be seen by a Prometheus that looks every second."""


@dataclass(slots=True)
class Pod:
    """One gateway. `life` holds its process."""

    name: str
    where: LocalEndpoint
    takes_clients: bool = True
    life: AsyncExitStack = field(default_factory=AsyncExitStack)


class Pods:
    """Those that run now; `on_change` is told their addresses, by name, whenever that changes."""

    def __init__(
        self,
        first: LocalEndpoint,
        extra: Mapping[str, str],
        stop: asyncio.Event,
        on_change: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._first, self._extra, self._stop, self._on_change = first, extra, stop, on_change
        self._numbers = itertools.count(1)
        self._pods: list[Pod] = []

    @property
    def open(self) -> list[LocalEndpoint]:
        """Where clients may go."""
        return [pod.where for pod in self._pods if pod.takes_clients]

    async def add(self) -> bool:
        """Start one more; False where the end has come before. Raises CannotStart."""
        number = next(self._numbers)
        where = self._place(number)
        pod = Pod(f"pod-{number}", where)
        process = await pod.life.enter_async_context(local.gateway(where))
        if not await local.ready(process, where, self._stop):
            await pod.life.aclose()
            if self._stop.is_set():
                return False
            raise CannotStart(f"Gateway {pod.name} has not started.")
        self._pods.append(pod)
        self._tell()
        return True

    async def roll(self) -> None:
        """Replace the oldest as Kubernetes would: first a new one, then the drain of the old."""
        if not await self.add():
            return
        oldest = self._pods[0]
        oldest.takes_clients = False
        await oldest.life.aclose()
        self._pods.remove(oldest)
        self._tell()

    async def close(self) -> None:
        """End all, at the same time."""
        async with asyncio.TaskGroup() as ending:
            for pod in self._pods:
                ending.create_task(pod.life.aclose())

    def _tell(self) -> None:
        self._on_change({pod.name: pod.where.url.partition("//")[2] for pod in self._pods})

    def _place(self, number: int) -> LocalEndpoint:
        where = self._first
        if number > 1:
            ports = [local.free_port(0, where.host, must=True) for _ in range(2)]
            where = replace(where, ws_port=ports[0], tcp_port=ports[1])
        own = {
            "WS_PORT": str(where.ws_port),
            "TCP_PORT": str(where.tcp_port),
            "OTEL_RESOURCE_ATTRIBUTES": f"k8s.pod.name=pod-{number}",
        }
        return replace(where, environment={**where.environment, **self._extra, **own})


@asynccontextmanager
async def running_pods(
    first: LocalEndpoint,
    extra: Mapping[str, str],
    stop: asyncio.Event,
    on_change: Callable[[Mapping[str, str]], None],
) -> AsyncIterator[Pods]:
    """Hold two gateways; `extra` are settings of all. Raises CannotStart."""
    pods = Pods(first, extra, stop, on_change)
    try:
        for _ in range(2):
            await pods.add()
        yield pods
    finally:
        await pods.close()
