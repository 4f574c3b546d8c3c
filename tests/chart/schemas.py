"""What Kubernetes and the owners of custom resources take: objects against published schemas."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.chart.rendering import ROOT, Object

VALIDATE = Path(__file__).parent / "js" / "validate.mjs"
# A folder beside the checkout may hold newer definitions; they are no part of the project.
NEWER = ROOT.parent / "shared" / "crds"
CUSTOM = (
    "argoproj.io",
    "external-secrets.io",
    "gateway.networking.k8s.io",
    "helm.toolkit.fluxcd.io",
    "keda.sh",
    "monitoring.coreos.com",
    "networking.istio.io",
    "source.toolkit.fluxcd.io",
)
"""Groups with one: those of the chart, and those of its recipes."""
UNPUBLISHED = ("gateway.envoyproxy.io", "networking.gke.io")
"""Groups without a schema on a package registry; what we make of them is compared literally. GKE's
are not made by the chart: a recipe has them."""


def core_faults(objects: list[Object], version: str) -> list[str]:
    """Say what the schemas of a Kubernetes version object to; strictly: unknown fields too."""
    core = [one for one in objects if group(one) not in CUSTOM + UNPUBLISHED]
    return [fault for one in core for fault in _core_faults(one, version)]


def group(thing: Object) -> str:
    """Give the API group of an object, empty for the core group."""
    return str(thing["apiVersion"]).rpartition("/")[0]


def custom_faults(objects: list[Object]) -> list[str]:
    """Say what the schemas of custom resources object to."""
    custom = [one for one in objects if group(one) in CUSTOM]
    said = subprocess.run(
        ["node", VALIDATE], input=json.dumps(custom), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return said + [fault for one in custom for fault in _newer_faults(one)]


def _core_faults(thing: Object, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(thing, version.rpartition(".")[0], strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{thing['kind']} {thing['metadata']['name']}: {error.message}"


def _newer_faults(thing: Object) -> Iterator[str]:
    path = NEWER / f"{thing['kind'].lower()}s.yaml"
    if not path.exists():
        return
    for error in _validator(path, thing["apiVersion"].rpartition("/")[2]).iter_errors(thing):
        if list(error.path)[:1] != ["metadata"]:
            yield f"{thing['kind']} {thing['metadata']['name']}: {error.message}"


@functools.cache
def _validator(path: Path, name: str) -> jsonschema.Draft202012Validator:
    text = path.read_text(encoding="utf-8")
    # In C: some of them have twenty thousand lines.
    (definition,) = (one for one in yaml.load_all(text, yaml.CSafeLoader) if one)
    (schema,) = (
        version["schema"]["openAPIV3Schema"]
        for version in definition["spec"]["versions"]
        if version["name"] == name
    )
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Refuse unknown fields, which the API server would prune without a word."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in strict and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
    return strict
