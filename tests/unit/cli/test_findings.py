"""How findings are shown, and what they amount to."""

from __future__ import annotations

import pytest

from constellation_ws.cli.findings import (
    Finding,
    conclusion,
    failed,
    ok,
    skipped,
    warning,
)


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([ok("a", ""), skipped("b", "")], "ok: nothing is wrong that can be seen from here"),
        ([ok("a", ""), warning("b", "", "do")], "ok, with warnings: b"),
        ([failed("c", "", "do"), warning("b", "", "do"), failed("c", "", "do")], "FAILED: c"),
    ],
)
def test_the_worst_is_named(findings: list[Finding], said: str) -> None:
    assert conclusion(findings) == said


def test_a_remedy_is_shown_below() -> None:
    assert ok("path", "is there").to_text() == "ok       path        is there"
    first, second = failed("cors", "refused", "add it").to_text().splitlines()
    assert first == "FAILED   cors        refused"
    assert second.strip() == "-> add it"
    assert failed("cors", "refused", "add it").facts() == {
        "subject": "cors",
        "verdict": "failed",
        "detail": "refused",
        "remedy": "add it",
    }
