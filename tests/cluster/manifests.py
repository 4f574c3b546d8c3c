"""What these tests put into a cluster: the release's values, and the pod that clients live in.

Pure, so that it is judged without a cluster too.
"""

from __future__ import annotations

import base64
import io
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.chart.rendering import ROOT, Object

RELEASE = "chat"
SERVICE = f"{RELEASE}-constellation-ws"
URL = f"http://{SERVICE}:7000/chats"
INSTANCE = f"app.kubernetes.io/instance={RELEASE}"
GATEWAYS = f"{INSTANCE},app.kubernetes.io/component=gateway"
CLIENTS = "clients"
NODE_IMAGE = "docker.io/library/node:24-slim"
AUTOSCALING: Object = {
    "type": "hpa",
    "minReplicas": 2,
    "maxReplicas": 4,
    # Of 50m. An idle pod takes some 5m, one under load several times as much as this.
    "targetCpuPercent": 60,
    "scaleDown": {"stabilizationSeconds": 0, "periodSeconds": 15},
}
_JS = ROOT / "tests" / "js"
_START = (
    "tar -xzf /clients/modules.tgz -C /work && cp /clients/crowd.mjs /work && "
    "exec node /work/crowd.mjs"
)


def values(**more: Any) -> Object:
    """Give values for a small release with its own Valkey; the drain is the chart's default."""
    return {
        "image": image_values(os.environ.get("CONSTELLATION_IMAGE", "")),
        "replicas": 3,
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "valkey": {
            "enabled": True,
            "image": image_values(os.environ.get("CONSTELLATION_VALKEY_IMAGE", "")),
        },
        **more,
    }


def image_values(image: str) -> Object:
    """Give `repository:tag@digest` as the chart takes it; nothing keeps the chart's default."""
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a registry's port
        repository, tag = name, ""
    given = {"repository": repository, "tag": tag, "digest": digest}
    return {key: value for key, value in given.items() if value}


def clients_objects(home: str) -> list[Object]:
    """Give a pod on node `home` in which crowds of clients are started, and what it runs."""
    return [_clients_files(), _clients_pod(home)]


def crowd_command() -> list[str]:
    """Give the words after `kubectl` that start a crowd; it takes commands on its stdin."""
    return ["exec", "--stdin", CLIENTS, "--", "sh", "-c", _START]


def _clients_files() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CLIENTS},
        "data": {"crowd.mjs": (_JS / "crowd.mjs").read_text(encoding="utf-8")},
        "binaryData": {"modules.tgz": base64.b64encode(modules()).decode()},
    }


@cache
def modules() -> bytes:
    """Pack socket.io-client as npm has installed it: a pod may not reach a registry."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(_JS / "node_modules", "node_modules", filter=_only_what_runs)
    return packed.getvalue()


def _only_what_runs(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(member.name)
    is_other = "dist" in path.parts or path.suffix in {".map", ".ts", ".md"}
    return None if is_other or path.name.startswith(".") else member


def _clients_container() -> Object:
    return {
        "name": CLIENTS,
        "image": os.environ.get("CONSTELLATION_NODE_IMAGE", NODE_IMAGE),
        "command": ["node", "--eval", "setInterval(() => {}, 60000)"],
        "volumeMounts": [
            {"name": "clients", "mountPath": "/clients", "readOnly": True},
            {"name": "work", "mountPath": "/work"},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _clients_pod(home: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CLIENTS, "labels": {"app.kubernetes.io/name": CLIENTS}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {"nodeAffinity": _only_on(home)},
            "containers": [_clients_container()],
            "volumes": [
                {"name": "clients", "configMap": {"name": CLIENTS}},
                {"name": "work", "emptyDir": {}},
            ],
        },
    }


def _only_on(node: str) -> Object:
    name = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = [{"matchFields": [name]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
