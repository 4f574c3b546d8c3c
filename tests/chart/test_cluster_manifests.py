"""What tests/cluster puts into a cluster, judged without one."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.chart.rendering import NEWEST, OLDEST, Object, environment, of_kind, render_values
from tests.chart.schemas import core_faults
from tests.cluster.manifests import (
    AUTOSCALING,
    GATEWAYS,
    INSTANCE,
    URL,
    clients_objects,
    crowd_command,
    image_values,
    modules,
    values,
)
from tests.processes import REPOSITORY, node_executable

CONFIG_MAP_BYTES = 1_048_576


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_release_and_the_clients_are_what_kubernetes_takes(version: str) -> None:
    for more in ({}, {"autoscaling": AUTOSCALING}, {"replicas": 1}):
        assert core_faults(render_values(values(**more)), version) == []
    assert core_faults(clients_objects("node-1"), version) == []


def test_the_selectors_and_the_url_fit_the_release() -> None:
    objects = render_values(values())
    service = of_kind(objects, "Service", "-constellation-ws")
    assert f"http://chat-constellation-ws:{service['spec']['ports'][0]['port']}/chats" == URL
    assert "REDIS_HOST" in environment(objects)
    labels: Object = service["spec"]["selector"]
    for selector in (INSTANCE, GATEWAYS):
        assert dict(one.split("=") for one in selector.split(",")).items() <= labels.items()


@pytest.mark.parametrize(
    ("image", "given"),
    [
        ("", {}),
        ("gateway", {"repository": "gateway"}),
        ("gateway:1", {"repository": "gateway", "tag": "1"}),
        ("host:5000/a/gateway", {"repository": "host:5000/a/gateway"}),
        ("host:5000/gateway:1", {"repository": "host:5000/gateway", "tag": "1"}),
        ("gateway:1@sha256:a", {"repository": "gateway", "tag": "1", "digest": "sha256:a"}),
    ],
)
def test_an_image_is_named_as_nodes_name_it(image: str, given: dict[str, str]) -> None:
    assert image_values(image) == given


def test_the_clients_start_from_what_their_pod_gets(tmp_path: Path) -> None:
    files, pod = clients_objects("node-1")
    assert len(json.dumps(files)) < CONFIG_MAP_BYTES
    mounts = {one["mountPath"] for one in pod["spec"]["containers"][0]["volumeMounts"]}
    assert all(f"{mount}/" in crowd_command()[-1] for mount in mounts)
    with tarfile.open(fileobj=io.BytesIO(modules())) as archive:
        archive.extractall(tmp_path, filter="data")
    script = tmp_path / "crowd.mjs"
    script.write_text(files["data"]["crowd.mjs"], encoding="utf-8")

    done = subprocess.run(
        [node_executable(), script],
        input='{"op": "connected"}\n',
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "0\n"


def test_without_a_cluster_its_tests_say_so_in_a_sentence() -> None:
    done = subprocess.run(
        [REPOSITORY / ".venv/bin/python", "-m", "pytest", "-q", "-rs", "tests/cluster"],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "KUBECONFIG names no cluster" in done.stdout
    assert "passed" not in done.stdout
