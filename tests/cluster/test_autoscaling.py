"""The HorizontalPodAutoscaler on CPU: up under load, down after it, and nobody is lost."""

from __future__ import annotations

from functools import partial

import pytest

from tests.cluster.kube import CommandFailed, Namespace
from tests.cluster.load import loaded
from tests.cluster.manifests import AUTOSCALING, values
from tests.cluster.release import MINUTES, Release, installed
from tests.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(60 * MINUTES),
]

FEWEST: int = AUTOSCALING["minReplicas"]
BUSY_EVENTS_PER_SECOND = 400
QUIET_EVENTS_PER_SECOND = 5


async def test_pods_come_under_load_and_go_after_it(cluster: None) -> None:
    if not await _measures_cpu():
        pytest.skip("the cluster has no metrics-server, so nothing measures CPU")
    async with installed(values(autoscaling=AUTOSCALING)) as release:
        await eventually(lambda: _are_ready(release, FEWEST), 15 * MINUTES, "two pods are ready")
        async with loaded(release) as load:
            await load.while_publishing(partial(_more_pods, release), BUSY_EVENTS_PER_SECOND)
            await load.while_publishing(partial(_few_pods, release), QUIET_EVENTS_PER_SECOND)
            verdicts = await load.verdicts()

    for one in verdicts:
        assert one.is_clean, one.findings
        assert one.new_sessions_ms == [], one.story


async def test_switching_it_on_replaces_and_removes_no_pod(cluster: None) -> None:
    async with installed(values(replicas=4)) as release:
        before = await _names(release)
        await release.upgrade(values(replicas=4, autoscaling={**AUTOSCALING, "minReplicas": 4}))
        assert await _names(release) == before
        assert await _are_wanted(release, 4)


async def _names(release: Release) -> set[str]:
    return {pod["metadata"]["name"] for pod in await release.pods()}


async def _more_pods(release: Release) -> None:
    await eventually(lambda: _are_ready(release, FEWEST + 1), 15 * MINUTES, "one pod more is ready")


async def _few_pods(release: Release) -> None:
    await eventually(
        lambda: _are_wanted(release, FEWEST), 20 * MINUTES, "two pods are wanted again"
    )
    await release.settled()


async def _are_ready(release: Release, pods: int) -> bool:
    status = (await release.deployment())["status"]
    return bool(status.get("readyReplicas", 0) >= pods)


async def _are_wanted(release: Release, pods: int) -> bool:
    return bool((await release.deployment())["spec"]["replicas"] == pods)


async def _measures_cpu() -> bool:
    try:
        await Namespace("default").kubectl("get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes")
    except CommandFailed:
        return False
    return True
