"""The figures of `size`, as people and programs get them."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from constellation_ws.cli import size_report
from constellation_ws.cli.main import run
from constellation_ws.cli.sizing import deployment
from constellation_ws.cli.sizing.load import Bounds, Load, Log
from tests.documentation.pages import blocks_of

BOUNDS = Bounds(1_000_000, 50_000, 2_000, 1_000_000)
EXAMPLE = Load(30_000, 500, 3, 300, 120)


def test_every_figure_of_cpu_and_memory_is_the_sum_of_what_is_shown() -> None:
    found = size_report.facts(deployment.compute("durable", EXAMPLE, BOUNDS, None))
    for cpu in found["cpu"].values():
        shown = sum(term["perSecond"] * term["unitMicroseconds"] / 1_000 for term in cpu["terms"])
        assert cpu["millicores"] == pytest.approx(shown, rel=1e-4)
    for memory in found["memory"].values():
        shown = sum(part["count"] * part["unitBytes"] for part in memory["parts"])
        assert memory["bytes"] == pytest.approx(shown, rel=1e-4)


def test_text_and_json_have_the_same_figures() -> None:
    sizing = deployment.compute("durable", EXAMPLE, BOUNDS, None)
    text, found = size_report.to_text(sizing), size_report.facts(sizing)
    for role in ("recorder", "pod", "redis"):
        assert f"{found['cpu'][role]['millicores']:,.1f}" in text
    assert "pods      3 (suggested)" in text
    assert (found["pods"], found["podsAreSuggested"]) == (3, True)
    assert f"{found['storm']['seconds']:.1f} s" in text
    assert text.endswith("ok: it fits")


def test_live_delivery_has_no_recorder_and_no_log() -> None:
    sizing = deployment.compute("live", EXAMPLE, BOUNDS, 2)
    text, found = size_report.to_text(sizing), size_report.facts(sizing)
    assert set(found["cpu"]) == set(found["network"]) == {"pod", "redis"}
    assert found["fullAtEventsPerSecond"]["recorder"] is None
    for word in ("recorder", "window", "in the log", "recent events", "other pod"):
        assert word not in text
    assert "pods      2\n" in text


@pytest.mark.parametrize(("users", "rate", "recipients"), [(7, 1 / 60, 0.1), (12_345, 33.3, 1.7)])
@pytest.mark.parametrize("pods", [3, 7])
def test_no_figure_has_digits_without_a_meaning(
    users: int, rate: float, recipients: float, pods: int
) -> None:
    sizing = deployment.compute("durable", Load(users, rate, recipients, 300, 120), BOUNDS, pods)
    for text in (json.dumps(size_report.facts(sizing)), size_report.to_text(sizing)):
        for number in re.findall(r"[0-9]+\.[0-9]+(?:e[-+][0-9]+)?", text):
            digits = number.partition("e")[0].replace(".", "").strip("0")
            assert len(digits) <= 6, number
            assert not re.search("e-(0[7-9]|[1-9])", number), number


def test_large_figures_keep_the_digits_before_the_point() -> None:
    sizing = deployment.compute("durable", Load(30_000, 500, 3, 300, 123_456.7), BOUNDS, 3)
    found = size_report.facts(sizing)
    assert found["load"]["windowSeconds"] == 123_457
    assert found["network"]["redis"]["sentBytesPerSecond"] == 900_000


def test_a_divided_log_has_several_recorders() -> None:
    sizing = deployment.compute("durable", EXAMPLE, BOUNDS, 3, Log(partitions=3, is_packed=False))
    text, found = size_report.to_text(sizing), size_report.facts(sizing)
    assert "durable, window 120 s, 3 partitions, all pods listen" in text
    assert "\neach recorder " in text
    assert "other pod" not in text
    assert found["log"] == {"partitions": 3, "listeners": 3, "packing": "off"}
    few = deployment.compute("durable", EXAMPLE, BOUNDS, 5, Log(listeners=2))
    assert "1 partition, 2 of the pods listen" in size_report.to_text(few)


def test_what_does_not_fit_is_shown_with_its_reason() -> None:
    full = Load(30_000, 1_000_000, 3, 300, 120)
    sizing = deployment.compute("durable", full, BOUNDS, 1)
    text = size_report.to_text(sizing)
    assert "never, no CPU is left" in text
    assert "note: with one pod nobody is served" in text
    assert text.splitlines()[-1].startswith("FAILED: Redis uses ")
    assert size_report.facts(sizing)["storm"]["seconds"] is None


@pytest.fixture(autouse=True)
def _default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("DELIVERY", "RECOVERY_WINDOW_SECONDS", "LOG_MAX_ENTRIES", "MAX_CONNECTIONS")
    for name in (*names, "LOG_PARTITIONS", "LOG_LISTENERS", "LOG_PACKING"):
        monkeypatch.delenv(f"CONSTELLATION_{name}", raising=False)


def test_the_documented_example_is_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks_of("docs/scale.md", "console")
    command, _, shown = block.partition("\n")
    assert run(shlex.split(command.removeprefix("$ constellation-ws "))) == 0
    assert capsys.readouterr().out == shown


def test_settings_say_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSTELLATION_RECOVERY_WINDOW_SECONDS", "600")
    command = ["size", "--users", "100", "--events", "60/min", "--json"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["load"] == {
        "users": 100,
        "eventsPerSecond": 1,
        "recipients": 1,
        "eventBytes": 300,
        "windowSeconds": 600,
    }
    assert found["delivery"] == "durable"
    monkeypatch.setenv("CONSTELLATION_DELIVERY", "live")
    assert run([*command, "--window", "60"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["delivery"], found["load"]["windowSeconds"]) == ("live", 60)
    assert found["log"] is None
    assert run([*command, "--delivery", "durable"]) == 0
    assert json.loads(capsys.readouterr().out)["delivery"] == "durable"


def test_the_log_is_as_the_settings_and_the_options_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["size", "--users", "100", "--events", "60/min", "--pods", "4", "--json"]

    def log_of(*options: str) -> object:
        assert run([*command, *options]) == 0
        return json.loads(capsys.readouterr().out)["log"]

    assert log_of() == {"partitions": 1, "listeners": 3, "packing": "auto"}
    monkeypatch.setenv("CONSTELLATION_LOG_LISTENERS", "2")
    monkeypatch.setenv("CONSTELLATION_LOG_PACKING", "off")
    assert log_of() == {"partitions": 1, "listeners": 2, "packing": "off"}
    monkeypatch.setenv("CONSTELLATION_LOG_PARTITIONS", "2")
    assert log_of("--packing", "auto") == {"partitions": 2, "listeners": 4, "packing": "auto"}
    chosen = log_of("--partitions", "1", "--listeners", "1")
    assert chosen == {"partitions": 1, "listeners": 1, "packing": "off"}
    assert log_of("--delivery", "live") is None


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--events 5", 2, "Missing option '--users'. See constellation-ws size --help."),
        ("--users 5", 2, "Missing option '--events'"),
        ("--users many --events 5", 2, "'--users': Input should be a valid integer"),
        ("--users 0 --events 5", 2, "The number of users is 0; it must be 1 or more."),
        ("--users 5 --events often", 2, "'often' is not a rate: write 500/s, 30000/min"),
        ("--users 5 --events 1e9/s", 2, "The events per second must be from 0 to 10,000,000."),
        ("--users 5 --events 5 --recipients 6", 2, "cannot have 6 recipients: the number of"),
        ("--users 5 --events 5 --recipients nan", 2, "must be a number that is not negative"),
        ("--users 5 --events 5 --bytes 2000000", 2, "CONSTELLATION_MAX_EVENT_BYTES is 1,000,000."),
        ("--users 5 --events 5 --window 0", 2, "The window must be a number of seconds above 0."),
        (
            "--users 5 --events 5 --pods 0",
            2,
            "'--pods': Input should be greater than or equal",
        ),
        ("--users 5 --events 5 --delivery fast", 2, "'fast' is not one of 'durable', 'live'"),
        ("--users 5 --events 100000/s", 1, "No number of pods up to 1,000 is enough: while"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_a_sentence(
    options: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["size", *options.split()]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert says in line


def test_a_load_that_does_not_fit_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["size", "--users", "100", "--events", "100000/s", "--pods", "3"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"FAILED: while a pod is down, each other pod uses .*: add pods", shown)
    assert re.search(r"FAILED: Redis uses .*: see Cells in docs/scale.md", shown)
