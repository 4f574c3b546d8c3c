"""Pods of the rendered chart, played by podman on a bridge of this machine.

Podman plays a pod as the manifest has it: users, capabilities, limits, read-only roots. Lives here:
what stands in for the cluster around it. Names of Services become entries of /etc/hosts, a port
becomes one of this machine. Probes, which podman would make with a curl inside the image, and
preStop, which it does not know, are taken out: the tests do what the kubelet does with them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.chart.rendering import Object
from tests.image.machine import KEPT, podman
from tests.processes import HOST, unused_port

_KUBELET_ONLY = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that was started."""

    name: str
    address: str
    """On the bridge, for other pods."""
    ports: Mapping[str, int]
    """This machine's port for each that the manifest names."""

    def container(self) -> Any:
        """Tell what podman knows of its one container."""
        listed = json.loads(podman("pod", "inspect", self.name))["Containers"]
        (own,) = (one["Name"] for one in listed if not one["Name"].endswith("-infra"))
        return json.loads(podman("container", "inspect", own))[0]

    def exit_code(self) -> int | None:
        """None while its container runs."""
        state = self.container()["State"]
        return None if state["Running"] else state["ExitCode"]

    def log(self) -> str:
        """All that its container has written."""
        return podman("logs", self.container()["Id"])

    def stop(self, grace_seconds: int) -> None:
        """End it as the kubelet does after preStop: SIGTERM, and SIGKILL after the grace."""
        spare_seconds = 30
        podman(
            *("pod", "stop", f"--time={grace_seconds}", self.name),
            within_seconds=grace_seconds + spare_seconds,
        )


def play(manifest: Object, names: Mapping[str, Pod]) -> Pod:
    """Start a Deployment's one pod, or a bare pod, to which others are known by these names."""
    played = copy.deepcopy(manifest)
    spec = played["spec"]["template"]["spec"] if "template" in played["spec"] else played["spec"]
    spec["hostAliases"] = [{"ip": pod.address, "hostnames": [name]} for name, pod in names.items()]
    (container,) = spec["containers"]
    for key in _KUBELET_ONLY:
        container.pop(key, None)
    # podman gives a pod's fields no address; without one a pod finds out its own.
    container["env"] = [one for one in container.get("env", []) if not _is_pod_ip(one)]
    for port in container.get("ports", []):
        port |= {"hostIP": HOST, "hostPort": unused_port()}
    file = KEPT / f"{played['metadata']['name']}.yaml"
    file.write_text(yaml.safe_dump(played))
    pod_id = podman("play", "kube", file).split("Pod:\n")[1].split()[0]
    return Pod(
        pod_id,
        _address(pod_id),
        {port["name"]: port["hostPort"] for port in container.get("ports", [])},
    )


def _is_pod_ip(variable: Object) -> bool:
    source = variable.get("valueFrom", {}).get("fieldRef", {})
    return bool(source.get("fieldPath") == "status.podIP")


def remove(pod: Pod) -> None:
    """End a pod by force."""
    podman("pod", "rm", "--force", "--time=0", pod.name)


def _address(pod_id: str) -> str:
    infra = json.loads(podman("pod", "inspect", pod_id))["InfraContainerID"]
    (inspected,) = json.loads(podman("container", "inspect", infra))
    (network,) = inspected["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])
