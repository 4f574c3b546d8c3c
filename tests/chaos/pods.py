"""The gateways behind the load balancer: started, rolled, killed, paused, and asked for metrics."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path

import aiohttp

from tests.chaos.clocks import Clock
from tests.chaos.losses import Counts
from tests.chaos.names import LOSSES, RECORDER, REDIS_UP
from tests.partitions import LOG_PARTITIONS
from tests.processes import Gateway, gateway_environment, unused_port

_ANSWER_SECONDS = 2.0
_SAMPLE_SECONDS = 0.5
_READY_ATTEMPTS = 4
"""Each of them waits a minute."""
_AWAY = (aiohttp.ClientError, OSError, TimeoutError)


async def _nothing() -> None:
    pass


class Pods:
    """The places of the gateways; each has two ports, used in turn."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        settings: Mapping[str, object],
        count: int,
        now_ms: Callable[[], int],
        *,
        is_clocked: bool = False,
    ) -> None:
        self._folder = folder
        self._redis_url = redis_url
        self._settings = dict(settings)
        self._now_ms = now_ms
        self._numbers = itertools.count(1)
        self._ports = [(unused_port(), unused_port()) for _ in range(count)]
        self._used = [0] * count
        self._paused: set[Gateway] = set()
        self._in_work = [asyncio.Lock() for _ in range(count)]
        """Held while a place's pod is replaced, by whom ever."""
        self._turn = itertools.count()
        self.clocks = [Clock(folder / f"clock-{n}") for n in range(count)] if is_clocked else []
        self.pods: list[Gateway] = []
        self.all_pods: list[Gateway] = []
        self.counts = Counts()
        """What the pods have counted as lost."""

    @property
    def ports(self) -> list[int]:
        return [port for pair in self._ports for port in pair]

    def tcp_port(self) -> int:
        """The TCP port of a pod that runs, of each in turn."""
        alive = [pod.tcp_port for pod in self.pods if pod.exit_code is None]
        if not alive:
            raise ConnectionError("no pod runs")
        return alive[next(self._turn) % len(alive)]

    async def start(self) -> None:
        """Start one gateway in each place."""
        self.pods = [self._launch(slot) for slot in range(len(self._ports))]
        for pod in self.pods:
            await _is_ready(pod)

    async def roll(self, slot: int, before: Callable[[], Awaitable[None]] = _nothing) -> None:
        """Replace a pod as Kubernetes does: the new one is ready, then the old one gets SIGTERM.

        `before` is awaited right before SIGTERM.
        """
        async with self._in_work[slot]:
            old = await self._replace(slot)
        await self._sample(old)
        await before()
        old.signal(signal.SIGTERM)
        code = await old.exited()
        assert code == 0, f"{old.log_path.name}: exit code {code} after SIGTERM"

    async def kill(self, slot: int) -> None:
        """SIGKILL, then a new pod: a crash is not announced."""
        await self._sample(self.pods[slot])
        async with self._in_work[slot]:
            await self.pods[slot].kill()
            await self._replace(slot)

    def pause(self, slot: int) -> None:
        """Let a pod do nothing more, as a virtual machine that is moved."""
        self._paused.add(self.pods[slot])
        self.pods[slot].signal(signal.SIGSTOP)

    def resume(self, slot: int) -> None:
        """Let it go on."""
        self._paused.discard(self.pods[slot])
        self.pods[slot].signal(signal.SIGCONT)

    async def recorders(self) -> list[int]:
        """Give the places of the pods that hold the recorder's lease by their own account."""
        found = [await self.ask(pod, [RECORDER]) for pod in self.pods]
        return [slot for slot, values in enumerate(found) if values and values[RECORDER]]

    async def all_ready(self) -> bool:
        """Tell whether every pod takes traffic, and one records, or as many as can."""
        for pod in self.pods:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if not await pod.is_ready():
                        return False
            except _AWAY:
                return False
        partitions = int(str(self._settings.get(LOG_PARTITIONS, 1)))
        # Leases of partitions are spread over the pods.
        return len(await self.recorders()) == min(partitions, len(self.pods))

    async def all_miss_redis(self) -> bool:
        """Tell whether every pod that answers knows that Redis is away."""
        found = [await self.ask(pod, [REDIS_UP]) for pod in self.pods]
        return not any(values[REDIS_UP] for values in found if values)

    async def ask(self, pod: Gateway, names: Collection[str]) -> dict[str, float]:
        """Sum up metrics of a pod; empty where it does not answer."""
        if pod in self._paused or pod.exit_code is not None:
            return {}
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                text = (await pod.get("/metrics", port=pod.metrics_port)).text
        except _AWAY:
            return {}
        return sums(text, names)

    async def watch(self) -> None:
        """Sample what the pods count as lost, until cancelled."""
        while True:
            for pod in list(self.pods):
                await self._sample(pod)
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def revive(self, troubles: list[str]) -> None:
        """Start pods again that have died by themselves, as Kubernetes does; until cancelled."""
        while True:
            for slot, pod in enumerate(self.pods):
                if pod.exit_code is not None and not self._in_work[slot].locked():
                    await self._revive(slot, pod, troubles)
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def _revive(self, slot: int, dead: Gateway, troubles: list[str]) -> None:
        why = _reason(dead.lines())
        troubles.append(f"{dead.log_path.name} died, code {dead.exit_code}: {why}")
        try:
            async with self._in_work[slot]:
                await self._replace(slot)
        except AssertionError as error:
            troubles.append(f"it was not started again: {error}")

    async def stop(self) -> None:
        """Kill all there are."""
        for pod in self.all_pods:
            await pod.kill()

    def stray_lines(self) -> list[str]:
        """What pods wrote that is no log record, such as a traceback."""
        return [
            f"{pod.log_path.name}: {line}" for pod in self.all_pods for line in pod.stray_lines()
        ]

    async def _sample(self, pod: Gateway) -> None:
        found = await self.ask(pod, LOSSES)
        if found:
            self.counts.sample(pod.log_path.name, self._now_ms(), sum(found.values()))

    async def _replace(self, slot: int) -> Gateway:
        new = self._launch(slot)
        await _is_ready(new)
        old, self.pods[slot] = self.pods[slot], new
        return old

    def _launch(self, slot: int) -> Gateway:
        self._used[slot] += 1
        port = self._ports[slot][self._used[slot] % 2]
        environment = gateway_environment(self._redis_url, WS_PORT=port, **self._settings)
        if self.clocks:
            environment |= self.clocks[slot].environment
        pod = Gateway(self._folder / f"pod-{next(self._numbers)}.log", environment)
        self.all_pods.append(pod)
        return pod


def _reason(lines: Iterable[str]) -> str:
    """Find in a pod's log what it died of."""
    for line in lines:
        if '"a vital task failed' in line:
            return str(json.loads(line).get("error"))
    return "its log does not say"


async def _is_ready(pod: Gateway) -> None:
    """Wait until a pod takes traffic; on a machine that is busy with others it takes its time."""
    for attempt in range(_READY_ATTEMPTS):
        try:
            return await pod.ready()
        except AssertionError:
            if pod.exit_code is not None or attempt == _READY_ATTEMPTS - 1:
                raise
    return None


def sums(text: str, names: Collection[str]) -> dict[str, float]:
    """Sum the samples of some metrics over their labels; 0 where there is none."""
    found = dict.fromkeys(names, 0.0)
    for line in text.splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        if name in found:
            found[name] += float(line.rpartition(" ")[2])
    return found
