"""What commands print of a deployment, and their exit codes."""

from __future__ import annotations

import json

import pytest

from constellation_ws.cli.main import run
from tests.processes import Valkey
from tests.unit.cli.conftest import NAMES, Deployment, full


@pytest.fixture(autouse=True)
def settings(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("CONSTELLATION_REDIS_PREFIX", NAMES.prefix)


@pytest.mark.parametrize("command", [["users"], ["users", "--json"], ["who", "u1"]])
def test_nobody_is_said_to_be_away_while_pods_cannot_say_who_is_online(
    command: list[str], deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    with full(deployment.redis):
        assert run(command) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Redis is full" in shown.err
    assert "0 users" not in shown.err


def test_a_status_of_a_full_redis_begins_with_the_cause(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.pod("a")
    with full(deployment.redis):
        assert (run(["status"]), run(["status", "--json"])) == (1, 1)
    text, _, facts = capsys.readouterr().out.rstrip().rpartition("\n")
    failures = [line for line in text.splitlines() if line.startswith("FAILED")]
    assert "Redis is full" in failures[0]
    assert "Redis is full" in json.loads(facts)["problems"][0]
