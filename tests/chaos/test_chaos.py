"""The short run, for every day. `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.crowd import STRICT
from tests.chaos.journey import Size, run

SHORT = Size(clients=90, strict_clients=6, events_per_second=150, rest_events=150)


@pytest.mark.timeout(240)
async def test_nothing_is_lost_while_everything_fails_that_can(tmp_path: Path) -> None:
    """Rolls, kills, cut links, a dead recorder and a restart of Redis, under load."""
    report = await run(tmp_path, SHORT)

    print(report.to_text())
    assert report.faults() == [], report.worst
    for group in report.groups:
        assert group.deliveries > 0
        if group.kind == STRICT:
            assert group.extra_arguments == 0
        else:
            # Without Redis a client that just then comes back cannot be recovered, and is told.
            assert sum(group.told.values()) <= group.told.get("restart redis", 0)
            assert group.recovered > 0
