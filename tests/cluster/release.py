"""A release of the chart on the cluster, and what becomes of its pods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.chart.rendering import CHART, Object
from tests.cluster.kube import Namespace, new_namespace
from tests.cluster.manifests import (
    CLIENTS,
    GATEWAYS,
    INSTANCE,
    RELEASE,
    SERVICE,
    clients_objects,
)
from tests.waiting import eventually

MINUTES = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """Release `chat` in a namespace of its own."""

    namespace: Namespace
    home: str
    """The node of the Valkey and of the clients: one clock, and never drained."""

    async def deployment(self) -> Object:
        """Give the gateway's Deployment, with who manages its fields."""
        found: Object = await self.namespace.get("deployment", SERVICE, "--show-managed-fields")
        return found

    async def pods(self) -> list[Object]:
        """Give the gateway's pods, those that are ending too."""
        found: list[Object] = await self.namespace.get("pods", f"--selector={GATEWAYS}")
        return found

    async def upgrade(self, values: Object) -> None:
        """Upgrade to these values and wait until the new pods are there."""
        await helm_with_values(self.namespace, "upgrade", values)
        await self.settled()

    async def roll_back(self) -> None:
        """Go back to the revision before."""
        await self.namespace.helm("rollback", RELEASE, "--wait", "--timeout=10m")
        await self.settled()

    async def restart(self) -> None:
        """Replace every pod."""
        name = f"deployment/{SERVICE}"
        await self.namespace.kubectl("rollout", "restart", name)
        await self.namespace.kubectl("rollout", "status", name, "--timeout=10m")
        await self.settled()

    async def settled(self) -> None:
        """Wait until all pods are ready and none is ending any more: the drains are over."""
        await eventually(self._is_settled, 10 * MINUTES, "all pods are ready and none is ending")
        assert [_restarts(pod) for pod in await self.pods() if _restarts(pod)] == []

    async def _is_settled(self) -> bool:
        wanted = (await self.deployment())["spec"]["replicas"]
        pods = await self.pods()
        return len(pods) == wanted and all(map(_is_ready, pods))


@asynccontextmanager
async def installed(values: Object) -> AsyncIterator[Release]:
    """A release that stands, with the pod for clients beside it; its namespace goes with it."""
    async with new_namespace() as namespace:
        try:
            await helm_with_values(namespace, "install", values)
            release = Release(namespace, await _home(namespace))
            await namespace.create(*clients_objects(release.home))
            await namespace.kubectl(
                "wait", f"pod/{CLIENTS}", "--for=condition=Ready", "--timeout=10m"
            )
            await release.settled()
            yield release
        except Exception as error:
            # With the namespace goes what would tell why.
            error.add_note(namespace.state())
            raise


async def helm_with_values(namespace: Namespace, verb: str, values: Object) -> None:
    """Install or upgrade the release, and wait until it stands."""
    flags = ("--wait", "--timeout=10m", "--values=-")
    await namespace.helm(verb, RELEASE, str(CHART), *flags, stdin=json.dumps(values))


async def _home(namespace: Namespace) -> str:
    selector = f"--selector={INSTANCE},app.kubernetes.io/component=valkey"
    (valkey,) = await namespace.get("pods", selector)
    return str(valkey["spec"]["nodeName"])


def _is_ready(pod: Object) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _restarts(pod: Object) -> int:
    return sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
