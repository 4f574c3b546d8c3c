"""Install, test, upgrade, roll back and uninstall, with Helm 4."""

from __future__ import annotations

import json

import pytest

from tests.chart.rendering import Object
from tests.cluster.kube import Namespace
from tests.cluster.load import CLIENTS, Load
from tests.cluster.manifests import INSTANCE, RELEASE, values
from tests.cluster.release import MINUTES, Release, installed
from tests.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(30 * MINUTES),
]

KINDS = (
    "deployments,replicasets,pods,services,endpointslices,configmaps,secrets,serviceaccounts,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,ingresses,jobs,leases"
)


async def test_helm_test_connects_a_client_and_asks_the_nestjs_port(release: Release) -> None:
    await release.namespace.helm("test", RELEASE, "--timeout=5m")


async def test_clients_get_events_through_the_service(load: Load) -> None:
    async def nothing() -> None:
        pass

    await load.while_publishing(nothing)
    for one in await load.verdicts():
        assert one.is_clean, one.findings
        assert one.received_ms, one.story


async def test_default_clients_upgrade_and_get_events_through_the_service(
    default_load: Load,
) -> None:
    async def all_upgraded() -> None:
        # The other half only polls.
        await eventually(
            lambda: _is_upgraded(default_load), 2 * MINUTES, "all are on WebSockets that may be"
        )

    await default_load.while_publishing(all_upgraded)
    for one in await default_load.verdicts():
        assert one.is_clean, one.findings
        assert one.received_ms, one.story
        # Nobody was disconnected on the way.
        assert (one.recovered_ms, one.new_sessions_ms) == ([], []), one.story


async def test_an_upgrade_and_a_rollback_lose_nobody_and_nothing(
    release: Release, load: Load
) -> None:
    level = {"config": {"CONSTELLATION_LOG_LEVEL": "debug"}}

    async def there_and_back() -> None:
        await release.upgrade(values(**level))
        assert _log_level(await release.deployment()) == "debug"
        await release.roll_back()
        assert _log_level(await release.deployment()) is None

    await load.while_publishing(there_and_back)

    for one in await load.verdicts():
        assert one.is_clean, one.findings
        assert len(one.recovered_ms) >= 2, one.story
        assert one.new_sessions_ms == [], one.story
    history = json.loads(await release.namespace.helm("history", RELEASE, "--output=json"))
    assert [one["status"] for one in history][-3:] == ["superseded", "superseded", "deployed"]
    # Server-side: the API server knows which fields are Helm's.
    assert ("helm", "Apply") in _managers(await release.deployment())


async def test_an_uninstall_leaves_nothing(cluster: None) -> None:
    async with installed(values(replicas=1)) as release:
        namespace = release.namespace
        await namespace.helm("test", RELEASE, "--timeout=5m")
        await namespace.helm("uninstall", RELEASE, "--wait", "--timeout=10m")
        await eventually(lambda: _nothing_left(namespace), 5 * MINUTES, "nothing is left")
        assert (
            await namespace.kubectl("get", "secrets", "--selector=owner=helm", "--output=name")
            == ""
        )


async def _is_upgraded(load: Load) -> bool:
    return await load.upgraded() == CLIENTS // 2


async def _nothing_left(namespace: Namespace) -> bool:
    return await namespace.kubectl("get", KINDS, f"--selector={INSTANCE}", "--output=name") == ""


def _log_level(deployment: Object) -> str | None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    return variables.get("CONSTELLATION_LOG_LEVEL")


def _managers(deployment: Object) -> set[tuple[str, str]]:
    fields = deployment["metadata"]["managedFields"]
    return {(one["manager"], one["operation"]) for one in fields}
