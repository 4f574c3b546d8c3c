"""Real Helm and kubectl: how tests render the chart.

What is right about the result is said by the tests.
"""

import functools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "constellation-ws"
CASES = CHART / "ci"
VALUES = ROOT / "helm" / "values"
TOOLS = ROOT / ".venv" / "kube"
HELMS = ("helm3", "helm4")
OLDEST, NEWEST = "1.30.0", "1.37.0"
"""Kubernetes versions: the first that the chart takes, the newest with published schemas."""

Object = dict[str, Any]


class Refused(Exception):
    """Helm refused to render; `str()` is what it said."""


def tool(name: str) -> Path:
    """Give the path of an unpacked binary."""
    path = TOOLS / name
    if not path.exists() or os.uname().sysname != "Linux" or os.uname().machine != "x86_64":
        pytest.skip(f"{name} is published as a binary for Linux on x86-64 only; run make setup")
    return path


def run(name: str, *arguments: str | Path) -> str:
    """Run a tool that must succeed and give its output. Raises Refused."""
    with tempfile.TemporaryDirectory() as home:
        # No configuration, plugin or cluster of whoever runs the tests.
        environment = {"PATH": os.defpath, "HOME": home, "KUBECONFIG": f"{home}/none"}
        done = subprocess.run(
            [tool(name), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            check=False,
        )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(helm: str = "helm4", *arguments: str, version: str = OLDEST) -> list[Object]:
    """Render the chart as release `chat` in namespace `talk`, with its hooks (the test pods)."""
    return list(_render(helm, arguments, version))


def render_values(values: Object, helm: str = "helm4") -> list[Object]:
    """Render with values given as an object."""
    return render(helm, *value_flags(values))


def value_flags(values: Object) -> list[str]:
    """Give Helm's flags for values given as an object; a key may be a path with dots."""
    return [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]


def placed(objects: Iterable[Object]) -> list[Object]:
    """Give the spec of every pod: the gateway's, Valkey's, the tests'."""
    everything = list(objects)
    deployed = [one["spec"]["template"] for one in everything if one["kind"] == "Deployment"]
    pods = [one for one in everything if one["kind"] == "Pod"]
    return [one["spec"] for one in deployed + pods]


@functools.cache
def _render(helm: str, arguments: tuple[str, ...], version: str) -> tuple[Object, ...]:
    text = run(
        helm, "template", "chat", CHART, "--namespace=talk", f"--kube-version={version}", *arguments
    )
    return tuple(parse(text))


def parse(text: str) -> Iterator[Object]:
    """Read a stream of YAML documents, leaving out empty ones."""
    return (document for document in yaml.safe_load_all(text) if document)


def cases() -> Iterator[Path]:
    """Yield the values files that stand for the ways in which the chart is used."""
    return iter(sorted([*CASES.glob("*-values.yaml"), *VALUES.glob("*.yaml")]))


def recipes() -> list[Object]:
    """Give the values that the documentation shows, in its order."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


def of_kind(objects: Iterable[Object], kind: str, name_end: str = "") -> Object:
    """Give the only object of a kind (whose name ends so)."""
    (found,) = (
        one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(name_end)
    )
    return found


def gateway(objects: Iterable[Object]) -> Object:
    """Give the gateway's Deployment."""
    return of_kind(objects, "Deployment", "constellation-ws")


def container(objects: Iterable[Object]) -> Object:
    """Give the gateway's container."""
    found: Object = gateway(objects)["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(objects: Iterable[Object]) -> dict[str, Any]:
    """Give the gateway's variables: their value, or where it comes from."""
    return {
        one["name"]: one.get("value", one.get("valueFrom")) for one in container(objects)["env"]
    }
