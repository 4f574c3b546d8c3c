"""Rolling updates, drained nodes and evictions, under load."""

from __future__ import annotations

import pytest

from tests.cluster.kube import CommandFailed, schedulable_nodes
from tests.cluster.load import Load
from tests.cluster.manifests import GATEWAYS, SERVICE
from tests.cluster.release import MINUTES, Release
from tests.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(30 * MINUTES),
]


async def test_pods_are_spread_over_the_nodes_that_take_them(release: Release) -> None:
    await _skip_without_a_second_node()

    await release.settled()
    assert len(set(await _nodes_of_pods(release))) > 1, "one node holds all pods"
    await release.restart()
    assert len(set(await _nodes_of_pods(release))) > 1, "one node holds all pods after an upgrade"


async def test_a_rolling_update_loses_nobody_and_nothing(release: Release, load: Load) -> None:
    await load.while_publishing(release.restart)

    for one in await load.verdicts():
        assert one.is_clean, one.findings
        assert one.recovered_ms, one.story
        assert one.new_sessions_ms == [], one.story


async def test_a_rolling_update_loses_no_default_client_and_nothing(
    release: Release, default_load: Load
) -> None:
    await default_load.while_publishing(release.restart)

    for one in await default_load.verdicts():
        assert one.is_clean, one.findings
        assert one.recovered_ms, one.story
        assert one.new_sessions_ms == [], one.story


async def test_a_drained_node_loses_nobody_and_nothing(release: Release, load: Load) -> None:
    node = await _node_to_drain(release)

    async def drain() -> None:
        await release.namespace.kubectl(
            "drain", node, f"--pod-selector={GATEWAYS}", "--ignore-daemonsets", "--timeout=10m"
        )
        await release.settled()

    try:
        await load.while_publishing(drain)
        assert node not in await _nodes_of_pods(release)
        verdicts = await load.verdicts()
    finally:
        await release.namespace.kubectl("uncordon", node)

    for one in verdicts:
        assert one.is_clean, one.findings
        assert one.new_sessions_ms == [], one.story
    assert any(one.recovered_ms for one in verdicts)


async def test_one_pod_at_a_time_may_be_evicted(release: Release) -> None:
    await release.settled()
    await eventually(lambda: _disruptions_allowed(release), 5 * MINUTES, "a pod may be evicted")
    first, second, *_ = [pod["metadata"]["name"] for pod in await release.pods()]

    await release.namespace.evict(first)
    with pytest.raises(CommandFailed, match="disruption budget"):
        await release.namespace.evict(second)

    await release.settled()
    await eventually(lambda: _disruptions_allowed(release), 5 * MINUTES, "the next one may go")


async def _node_to_drain(release: Release) -> str:
    """Find a node of gateways that is not the clients' own."""
    await _skip_without_a_second_node()
    others = [node for node in await _nodes_of_pods(release) if node != release.home]
    assert others, f"all pods are on node {release.home}, where the clients are"
    return others[0]


async def _skip_without_a_second_node() -> None:
    if len(await schedulable_nodes()) < 2:
        pytest.skip("the cluster has no second node that takes pods")


async def _nodes_of_pods(release: Release) -> list[str]:
    return [pod["spec"]["nodeName"] for pod in await release.pods()]


async def _disruptions_allowed(release: Release) -> int:
    budget = await release.namespace.get("poddisruptionbudget", SERVICE)
    return int(budget["status"].get("disruptionsAllowed", 0))
