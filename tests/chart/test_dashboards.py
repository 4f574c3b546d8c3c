"""The dashboards: JSON that is bound to its variables, tidy, and carried by the chart."""

import itertools
import json
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, CHART, of_kind, render
from tests.chart.test_manifests import build
from tools.dashboards import DASHBOARDS
from tools.dashboards.grafana import to_json
from tools.dashboards.words import CHOSEN, Dashboard

EACH = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
CONFIG_MAP_BYTES = 1_048_576


def written(dashboard: Dashboard) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(to_json(dashboard))
    return loaded


@EACH
def test_a_dashboard_asks_the_chosen_source_about_the_chosen_gateways(dashboard: Dashboard) -> None:
    found = written(dashboard)
    assert {one["name"] for one in found["templating"]["list"]} == {
        "datasource", "cluster", "namespace", "job", "pod",
    }  # fmt: skip
    for panel in found["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count("{" + CHOSEN), target


@EACH
def test_every_panel_says_what_it_shows(dashboard: Dashboard) -> None:
    said = [panel["description"] for panel in written(dashboard)["panels"]]
    assert all(one.endswith(".") and len(one) > 15 for one in said), said


@EACH
def test_deploys_and_drains_are_marked_for_the_chosen_gateways(dashboard: Dashboard) -> None:
    marks = written(dashboard)["annotations"]["list"]
    assert [one["name"] for one in marks] == ["Deploys", "Drains"]
    for one in marks:
        assert one["datasource"]["uid"] == "${datasource}"
        assert one["expr"].count("{") == one["expr"].count("{" + CHOSEN)


@EACH
def test_no_two_panels_of_a_dashboard_overlap_or_share_a_name(dashboard: Dashboard) -> None:
    panels = written(dashboard)["panels"]
    cells = [
        cell
        for panel in panels
        for cell in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    kinds = {(panel["title"], panel["type"]) for panel in panels}
    assert len(kinds) == len(panels)


@EACH
def test_the_file_of_a_dashboard_is_short_enough_to_be_read(dashboard: Dashboard) -> None:
    lines = to_json(dashboard).splitlines()
    assert len(lines) < 600
    assert max(map(len, lines)) < 400


def test_latencies_lead_to_traces() -> None:
    linked = {
        (dashboard.name, panel["title"])
        for dashboard in DASHBOARDS
        for panel in written(dashboard)["panels"]
        if all(target.get("exemplar") for target in panel["targets"])
    }
    assert {(name, "Publish to write") for name in ("delivery", "slow", "roll")} <= linked
    assert ("slow", "Writing a batch") in linked


def test_the_chart_and_development_carry_the_same_dashboards_and_alerts() -> None:
    objects = render("helm4", f"--values={CASES / 'everything-values.yaml'}")
    carried = of_kind(objects, "ConfigMap", "-dashboards")
    assert carried["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in carried["data"].items()} == {
        f"{dashboard.name}.json": written(dashboard) for dashboard in DASHBOARDS
    }
    assert len(json.dumps(carried)) < CONFIG_MAP_BYTES / 4
    development = build("observability")
    (own,) = (one for one in development if "health.json" in one.get("data", {}))
    assert own["data"] == carried["data"]
    (rules,) = (one for one in development if "alerts.yaml" in one.get("data", {}))
    alerts = (CHART / "alerts.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(rules["data"]["alerts.yaml"]) == yaml.safe_load(alerts)
    assert "alerts.yaml" in yaml.safe_load(rules["data"]["prometheus.yml"])["rule_files"]


def test_neither_is_made_unless_asked_for() -> None:
    kinds = {one["kind"] for one in render()}
    assert kinds.isdisjoint({"PrometheusRule", "ConfigMap"})
