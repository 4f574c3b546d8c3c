"""The alerts: what promtool says of them, when they fire, and what there is to read at night."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, of_kind, render_values

ALERTS = CHART / "alerts.yaml"
CASES_OF_ALERTS = Path(__file__).parent / "alerts.test.yaml"
RUNBOOK = ROOT / "docs" / "operations.md"
GROUPS = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Give its exit code and all that it said."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian has it in the package prometheus)")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    code, said = promtool("check", "rules", ALERTS)
    assert code == 0, said
    assert f"{len(RULES)} rules found" in said


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    code, said = promtool("test", "rules", CASES_OF_ALERTS)
    assert code == 0, said


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_is_tried_firing_and_quiet(alert: str) -> None:
    cases = yaml.safe_load(CASES_OF_ALERTS.read_text(encoding="utf-8"))["tests"]
    mine = [case for case in cases if case["name"].split()[0] == alert]
    asked = [one for case in mine for one in case["alert_rule_test"]]
    assert {one["alertname"] for one in asked} == {alert}
    assert {bool(one.get("exp_alerts")) for one in asked} == {True, False}
    assert any(" is quiet " in case["name"] for case in mine)


@pytest.mark.parametrize(("alert", "rule"), RULES.items())
def test_each_alert_says_how_bad_it_is_what_is_wrong_and_where_to_read_on(
    alert: str, rule: dict[str, Any]
) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert all(told[key].endswith(".") for key in ("summary", "description"))
    page, _, anchor = told["runbook_url"].partition("#")
    assert page.endswith(str(RUNBOOK.relative_to(ROOT)))
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert alert in headings
    assert anchor == alert.lower()


def test_the_operator_gets_the_rules_as_they_are() -> None:
    labels = {"release": "prometheus"}
    rule = of_kind(
        render_values({"alerts.enabled": True, "alerts.labels": labels}), "PrometheusRule"
    )
    assert rule["spec"]["groups"] == GROUPS
    assert rule["metadata"]["labels"]["release"] == "prometheus"
