"""Pods of the rendered Deployment, replaced in Kubernetes' order: the processes are this machine's.

Lives here: what the Deployment says of a pod's life, carried out. Who notices is up to the proxies.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chart.rendering import Object, container, environment, gateway
from tests.processes import HOST, START_SECONDS, Gateway, gateway_environment
from tests.proxies import Proxy
from tests.waiting import eventually

_POD_IP = {"fieldRef": {"fieldPath": "status.podIP"}}
_FREE_PORTS = {"WS_PORT": "0", "TCP_PORT": "0", "CONSTELLATION_PEER_PORT": "0"}
"""Pods of a cluster all have the same; here they are on one machine."""
_SPARE_SECONDS = 60.0
"""A busy machine is no fault of the drain; what it needs is compared in tests/chart."""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What the chart says of a pod."""

    environment: dict[str, str]
    readiness_path: str
    pre_stop_seconds: int
    grace_seconds: int


def read_pod_spec(objects: Sequence[Object]) -> PodSpec:
    """Read the gateway's pod from rendered objects that keep no setting in a Secret."""
    found, pod = container(objects), gateway(objects)["spec"]["template"]["spec"]
    variables = {
        name: HOST if value == _POD_IP else value for name, value in environment(objects).items()
    }
    assert all(isinstance(value, str) for value in variables.values())
    assert "envFrom" not in found
    return PodSpec(
        variables,
        found["readinessProbe"]["httpGet"]["path"],
        found["lifecycle"]["preStop"]["sleep"]["seconds"],
        pod["terminationGracePeriodSeconds"],
    )


class Rollout:
    """Three pods behind proxies, and the controllers that replace them."""

    def __init__(
        self, folder: Path, spec: PodSpec, redis_url: str, proxies: Sequence[Proxy]
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._redis_url = redis_url
        self._proxies = proxies
        self._numbers = itertools.count(1)
        self._publishing = asyncio.Lock()
        self.endpoints: list[Gateway] = []
        self.all_pods: list[Gateway] = []

    def tcp_port(self) -> int:
        """The TCP port of an endpoint, as the Service leads to one."""
        return self.endpoints[-1].tcp_port

    async def start(self, replicas: int) -> None:
        """Start the pods and tell the proxies."""
        self.endpoints = list(await asyncio.gather(*(self._new_pod() for _ in range(replicas))))
        await self._publish_endpoints()

    async def roll(self) -> None:
        """Replace every pod, a new one before an old one (maxSurge 1, maxUnavailable 0).

        A pod that is ending does not hold up the next: Kubernetes does not wait for it either.
        """
        async with asyncio.TaskGroup() as endings:
            for old in list(self.endpoints):
                self.endpoints.append(await self._new_pod())
                await self._publish_endpoints()
                endings.create_task(self._delete(old))

    async def crash(self) -> None:
        """Kill one pod after the other; it is no endpoint any more before it is replaced."""
        for dead in list(self.endpoints):
            await dead.kill()
            self.endpoints.remove(dead)
            await self._publish_endpoints()
            self.endpoints.append(await self._new_pod())
            await self._publish_endpoints()

    async def stop(self) -> None:
        """Leave nothing behind, whatever has failed."""
        for pod in self.all_pods:
            await pod.kill()

    async def _new_pod(self) -> Gateway:
        own = self._spec.environment | _FREE_PORTS
        log = self._folder / f"pod-{next(self._numbers)}.log"
        pod = Gateway(log, gateway_environment(self._redis_url, **own))
        self.all_pods.append(pod)
        await pod.listening()
        await eventually(lambda: self._is_ready(pod), START_SECONDS, "the pod is ready")
        return pod

    async def _is_ready(self, pod: Gateway) -> bool:
        return (await pod.get(self._spec.readiness_path)).status == 200

    async def _delete(self, pod: Gateway) -> None:
        """The endpoint goes and the preStop hook begins at the same time; then SIGTERM."""
        self.endpoints.remove(pod)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._publish_endpoints())
            both.create_task(asyncio.sleep(self._spec.pre_stop_seconds))
        pod.signal(signal.SIGTERM)
        left = self._spec.grace_seconds - self._spec.pre_stop_seconds
        assert await pod.exited(within=left + _SPARE_SECONDS) == 0
        assert pod.stray_lines() == []

    async def _publish_endpoints(self) -> None:
        async with self._publishing:
            ports = [pod.ws_port for pod in self.endpoints]
            for proxy in self._proxies:
                await proxy.route_to(ports)
