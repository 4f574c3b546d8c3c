"""The verdict with which `check` ends."""

from __future__ import annotations

import json

import pytest

from constellation_ws.cli.check_report import conclusion
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.cli.main import run
from tests.processes import HOST, unused_port

OK, WARNING, FAILED = Verdict.OK, Verdict.WARNING, Verdict.FAILED


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"a": OK}, "ok: a gateway would work"),
        ({"a": OK, "b": WARNING}, "ok: a gateway would work, with warnings; see b"),
        (
            {"a": FAILED, "b": WARNING, "c": FAILED},
            "FAILED: a gateway could not work; see a, c",
        ),
    ],
)
def test_the_verdict_names_the_worst(verdicts: dict[str, Verdict], said: str) -> None:
    assert conclusion(Finding(name, one, "") for name, one in verdicts.items()) == said


def test_a_redis_that_nobody_can_locate_is_a_finding_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis+cluster://{HOST}:{unused_port()}")
    assert run(["check", "--json"]) == 1
    *_, line = capsys.readouterr().out.splitlines()  # where another test has set up logging
    findings = json.loads(line)["findings"]
    assert [one["subject"] for one in findings if one["verdict"] == "failed"] == ["redis"]
    assert "constellation-ws check" not in findings[-1]["detail"]
