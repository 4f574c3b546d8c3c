"""The recipes: each renders, is valid, and is described in docs/recipes.md."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import (
    CHART,
    HELMS,
    OLDEST,
    ROOT,
    Object,
    environment,
    gateway,
    of_kind,
    parse,
    placed,
    render,
    render_values,
    run,
)
from tests.chart.schemas import core_faults, custom_faults

RECIPES = ROOT / "helm" / "recipes"
PAGE = ROOT / "docs" / "recipes.md"


def manifests(file: Path) -> list[Object]:
    """What is given to kubectl; nothing if the recipe is a file of values."""
    return [one for one in parse(file.read_text(encoding="utf-8")) if "apiVersion" in one]


def values_of(release: Object) -> dict[str, Any]:
    """The values that Argo CD or Flux gives the chart."""
    spec = release["spec"]
    found: dict[str, Any] = spec.get("values") or spec["source"]["helm"]["valuesObject"]
    return found


def rendered(file: Path) -> list[Object]:
    releases = [one for one in manifests(file) if one["kind"] in ("Application", "HelmRelease")]
    if not releases:
        return render("helm4", f"--values={file}")
    return [one for release in releases for one in render_values(values_of(release))]


def test_every_recipe_renders_to_valid_objects() -> None:
    files = sorted(RECIPES.glob("*.yaml"))
    assert len(files) >= 8
    objects = [one for file in files for one in [*rendered(file), *manifests(file)]]
    assert core_faults(objects, OLDEST) == []
    assert custom_faults(objects) == []
    kinds = {one["kind"] for one in objects}
    assert {"DestinationRule", "ExternalSecret", "Application", "HelmRelease"} <= kinds


def test_the_page_describes_every_recipe_and_no_other() -> None:
    named = set(re.findall(r"\(\.\./helm/recipes/([\w./-]+)\)", PAGE.read_text(encoding="utf-8")))
    assert named == {*(file.name for file in RECIPES.glob("*.yaml")), "umbrella"}


def test_what_argo_cd_and_flux_install_is_where_they_look_for_it() -> None:
    (application,) = manifests(RECIPES / "argocd.yaml")
    repository, release = manifests(RECIPES / "flux.yaml")
    chart = release["spec"]["chart"]["spec"]
    assert chart["sourceRef"]["name"] == repository["metadata"]["name"]
    assert ROOT / application["spec"]["source"]["path"] == ROOT / chart["chart"] == CHART


def test_what_keeps_secrets_outside_gives_the_gateway_keys_that_it_fetches() -> None:
    objects = render("helm4", f"--values={RECIPES / 'external-secrets.yaml'}")
    fetched = {one["metadata"]["name"] for one in objects if one["kind"] == "ExternalSecret"}
    referred = [one for one in environment(objects).values() if isinstance(one, dict)]
    named = {one["secretKeyRef"]["name"] for one in referred if "secretKeyRef" in one}
    assert named == fetched
    assert environment(objects)["REDIS_URL"] == "rediss://redis.example.com:6380/0"


@pytest.mark.parametrize("helm", HELMS)
def test_a_chart_may_depend_on_this_one_by_a_condition_or_a_tag(helm: str, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(RECIPES / "umbrella", parent)
    shutil.copytree(CHART, parent / "charts" / CHART.name)
    installed = list(parse(run(helm, "template", "chat", parent)))
    assert gateway(installed)
    images = {pod["containers"][0]["image"] for pod in placed(installed)}
    assert images == {"registry.example.com/constellation-ws:0.1.0"}
    off = run(helm, "template", "chat", parent, "--set=constellation-ws.enabled=false")
    assert list(parse(off)) == []
    values = yaml.safe_load((parent / "values.yaml").read_text(encoding="utf-8"))
    del values["constellation-ws"]["enabled"]
    parent.joinpath("values.yaml").write_text(yaml.dump(values))
    assert run(helm, "template", "chat", parent, "--set=tags.realtime=false").strip() == ""
    assert "[ERROR]" not in run(helm, "lint", parent)


def test_pods_of_a_mesh_reach_each_other_at_the_port_that_is_excluded() -> None:
    objects = render("helm4", f"--values={RECIPES / 'istio.yaml'}")
    said = gateway(objects)["spec"]["template"]["metadata"]["annotations"]
    port = environment(objects)["CONSTELLATION_PEER_PORT"]
    assert said["traffic.sidecar.istio.io/excludeInboundPorts"] == port
    assert said["traffic.sidecar.istio.io/excludeOutboundPorts"] == port
    host = of_kind(objects, "DestinationRule")["spec"]["host"]
    assert host == "chat-constellation-ws.talk.svc.cluster.local"
