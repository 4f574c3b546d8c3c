"""The manifests for kubectl and skaffold.yaml: they build, are valid, and name what exists."""

import copy
import json
from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.rendering import (
    NEWEST,
    OLDEST,
    ROOT,
    container,
    environment,
    gateway,
    of_kind,
    parse,
    render,
    run,
)
from tests.chart.schemas import core_faults
from tests.chart.test_relations import selected, selectors

KUBECTLS = {"kubectl-oldest": OLDEST, "kubectl-newest": NEWEST}
FOLDERS = ("base", "observability", "overlays/dev", "overlays/production")
# A folder beside the checkout may hold the schema; Skaffold publishes it on no package registry.
SKAFFOLD_SCHEMA = ROOT.parent / "shared" / "schemas" / "skaffold-v4beta13.json"


def build(folder: str, kubectl: str = "kubectl-newest") -> list[dict[str, Any]]:
    return list(parse(run(kubectl, "kustomize", ROOT / "k8s" / folder)))


@pytest.mark.parametrize("kubectl", KUBECTLS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_builds_objects_that_kubernetes_takes(folder: str, kubectl: str) -> None:
    assert core_faults(build(folder, kubectl), KUBECTLS[kubectl]) == []


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/production"])
def test_each_selector_of_the_manifests_finds_one_kind_of_pod(folder: str) -> None:
    objects = build(folder)
    for selector in selectors(objects):
        assert len(selected(selector, objects)) == 1, selector


@pytest.mark.parametrize("folder", ["observability", "overlays/dev"])
def test_every_image_of_development_is_pinned(folder: str) -> None:
    images = [
        one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in build(folder)
        if one["kind"] == "Deployment"
    ]
    assert len(images) >= 4
    for image in images:
        assert image.rpartition(":")[2][0].isdigit() or image.rpartition(":v")[2][0].isdigit()


def test_development_has_one_pod_and_finds_its_valkey_and_its_collector() -> None:
    objects = build("overlays/dev")
    services = {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
    assert gateway(objects)["spec"]["replicas"] == 1
    assert environment(objects)["REDIS_HOST"] in services
    assert environment(objects)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert {"collector", "jaeger", "prometheus", "grafana", "constellation-ws-pods"} <= services
    assert [one for one in objects if one["kind"] == "PodDisruptionBudget"] == []


def test_production_leaves_the_number_of_pods_to_the_autoscaler_and_redis_to_a_secret() -> None:
    objects = build("overlays/production")
    assert "replicas" not in gateway(objects)["spec"]
    scaler = of_kind(objects, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == gateway(objects)["metadata"]["name"]
    url = {"secretKeyRef": {"name": "constellation-ws-redis", "key": "url"}}
    assert environment(objects)["REDIS_URL"] == url
    assert container(objects)["image"].startswith("registry.example.com/constellation-ws:")


def skaffold() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8"))
    return loaded


def profiled(name: str) -> dict[str, Any]:
    """The configuration with a profile's patches applied, as Skaffold applies them."""
    config = copy.deepcopy(skaffold())
    (profile,) = (one for one in config["profiles"] if one["name"] == name)
    for patch in profile["patches"]:
        *path, last = patch["path"].split("/")[1:]
        node: Any = config
        for key in path:
            node = node[int(key)] if isinstance(node, list) else node[key]
        if patch["op"] != "add":
            del node[last]
        if patch["op"] != "remove":
            node[last] = patch["value"]
    return config


@pytest.mark.skipif(not SKAFFOLD_SCHEMA.exists(), reason="the schema is not beside the checkout")
def test_skaffold_takes_its_configuration_with_and_without_each_profile() -> None:
    schema = json.loads(SKAFFOLD_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(skaffold(), schema)
    for name in ("dev", "production", "kustomize"):
        jsonschema.validate(profiled(name), schema)


def test_skaffold_builds_stages_and_installs_files_that_exist() -> None:
    stages = {
        line.split()[3]
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("FROM ")
    }
    for name in ("dev", "production", "kustomize"):
        config = profiled(name)
        assert config["build"]["artifacts"][0]["docker"]["target"] in stages
        for folder in config.get("manifests", {}).get("kustomize", {}).get("paths", []):
            assert (ROOT / folder / "kustomization.yaml").exists()
        for release in config["deploy"].get("helm", {}).get("releases", []):
            assert (ROOT / release["chartPath"] / "Chart.yaml").exists()
            assert all((ROOT / values).exists() for values in release["valuesFiles"])


def test_skaffold_forwards_ports_of_services_that_it_installs() -> None:
    config = profiled("dev")
    values = ROOT / config["deploy"]["helm"]["releases"][0]["valuesFiles"][0]
    renamed = "--set=fullnameOverride=constellation-ws"
    installed = build("observability") + render("helm4", f"--values={values}", renamed)
    ports = {
        (one["metadata"]["name"], port["port"])
        for one in installed
        if one["kind"] == "Service"
        for port in one["spec"]["ports"]
    }
    forwarded = {(one["resourceName"], one["port"]) for one in config["portForward"]}
    assert forwarded <= ports


def test_sources_are_copied_to_where_the_development_image_has_them() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY --chown=10001:10001 service /src/service" in dockerfile
    rules = profiled("dev")["build"]["artifacts"][0]["sync"]["manual"]
    assert {rule["dest"] for rule in rules} == {"/src"}
    assert all(rule["src"].startswith("service/") for rule in rules)
