"""How `doctor` is called and what it prints; what it finds is shown by tests/ingress."""

from __future__ import annotations

import json
import os
from unittest.mock import patch

import pytest
import structlog

from constellation_ws.cli.main import run
from tests.processes import HOST, unused_port
from tests.tokens import SECRET


def examined(*options: str, **settings: str) -> int:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with patch.dict(os.environ, {**kept, **settings}, clear=True):
        return run(["doctor", "--url", f"http://{HOST}:{unused_port()}", *options])


def test_people_get_findings_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert examined() == 1

    shown = capsys.readouterr()
    finding, remedy, _, verdict = shown.out.splitlines()
    assert finding.startswith(f"FAILED   address     {HOST}:")
    assert remedy.strip().startswith("-> check host and port")
    assert verdict == "FAILED: address"
    assert shown.err == ""


def test_programs_get_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert examined("--json") == 1

    shown = capsys.readouterr()
    (finding,) = map(json.loads, shown.out.splitlines())
    assert (finding["subject"], finding["verdict"]) == ("address", "failed")
    assert shown.err == "FAILED: address\n"


def test_a_redis_that_says_nowhere_where_it_is_is_a_finding_and_the_rest_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.reset_defaults()
    sentinel = f"redis+sentinel://{HOST}:{unused_port()}/0/main"
    assert examined("--json", REDIS_URL=sentinel) == 1
    shown = capsys.readouterr()
    assert [json.loads(line)["subject"] for line in shown.out.splitlines()] == ["redis", "address"]
    assert shown.err == "FAILED: redis, address\n"


@pytest.mark.parametrize(
    "settings",
    [{}, {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": SECRET}],
)
def test_a_url_that_is_none_is_refused(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert examined("--url", "gateway:7000", **settings) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
