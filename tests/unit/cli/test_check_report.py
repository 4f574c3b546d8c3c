"""The verdict with which `check` ends."""

from __future__ import annotations

import pytest

from constellation_ws.cli.check_report import conclusion
from constellation_ws.cli.findings import Finding, Verdict

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
