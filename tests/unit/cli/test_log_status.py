"""What the log holds is counted in events, and whether it is packed is said with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from constellation_ws.cli import log_status, status
from constellation_ws.cli.log_status import Log, Packing
from tests.unit.cli.conftest import NAMES, Deployment

PLAIN = 1


def append(deployment: Deployment, *sizes: int) -> None:
    """Append entries of so many events, as the recorder does; those of one are plain."""
    for size in sizes:
        plain: Any = {"channel": "x", "data": "{}"}
        extra = deployment.redis.hget(NAMES.state, "extra") or b"0"
        packed: Any = {"packed": b"", "at": "t:0", "extra": extra}
        deployment.redis.xadd(NAMES.log, plain if size == PLAIN else packed)
        if size != PLAIN:
            deployment.redis.hincrby(NAMES.state, "extra", size - 1)


def inspect(deployment: Deployment) -> Log:
    found = status.inspect(deployment.redis, NAMES, "durable").log
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ((), (1, 1, 1)),
        ((), (5, 1, 7)),
        ((9, 1, 4), (1, 1, 5, 1, 7, 1)),
        ((9, 1, 4), (1, 1)),
        ((9,), (2,)),
        ((3,), (1,) * 120 + (6,)),
        ((9,), ()),
    ],
)
def test_the_log_is_counted_in_events(
    deployment: Deployment, gone: Sequence[int], left: Sequence[int]
) -> None:
    """Whatever was trimmed, and whatever producers and the recorder have appended."""
    append(deployment, *gone, *left)
    deployment.redis.xtrim(NAMES.log, maxlen=len(left), approximate=False)
    found = inspect(deployment)
    assert (found.events, found.entries, found.is_least) == (sum(left), len(left), False)


def test_where_entries_are_packed_both_numbers_are_shown(deployment: Deployment) -> None:
    append(deployment, 5, 1)
    assert "6 events in 2 entries, the newest" in (
        status.inspect(deployment.redis, NAMES, "durable").to_text()
    )


def test_events_that_cannot_be_counted_are_a_least_number(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_status, "_PAGE", 2)
    monkeypatch.setattr(log_status, "_PAGES", 3)
    append(deployment, 1, 1, 1, 1, 1, 4)
    assert "at least 6 events, the newest" in (
        status.inspect(deployment.redis, NAMES, "durable").to_text()
    )
    deployment.redis.xtrim(NAMES.log, maxlen=1, approximate=False)
    assert not inspect(deployment).is_least
    append(deployment, 4)
    deployment.redis.xtrim(NAMES.log, maxlen=1, approximate=False)
    deployment.redis.hset(NAMES.state, "extra", 1)  # Redis has lost it since
    assert (inspect(deployment).events, inspect(deployment).is_least) == (1, True)


@pytest.mark.parametrize(
    ("packs", "reads", "packing", "text"),
    [
        ("now", True, Packing.NOW, "now: events that are appended together are one entry"),
        ("off", False, Packing.OFF, "off: each event is an entry (CONSTELLATION_LOG_PACKING)"),
        ("waits", False, Packing.WAITS, "waits: the release of b cannot read packed entries"),
        ("now", False, Packing.WAITS, "waits: the release of b cannot read packed entries"),
        ("waits", True, Packing.WAITS, "begins in some seconds: all pods can read packed entries"),
        ("", True, Packing.UNKNOWN, "not known: no pod records, or it has not asked yet"),
    ],
)
def test_whether_events_are_packed_is_shown_with_the_reason(
    deployment: Deployment, packs: str, reads: bool, packing: Packing, text: str
) -> None:
    deployment.pod("a")
    deployment.pod("b", reads_packed=reads)
    deployment.records("a", packs=packs)
    found = status.inspect(deployment.redis, NAMES, "durable")
    assert found.facts()["log"]["packing"] == packing.value
    assert [pod["reads_packed"] for pod in found.facts()["pods"]] == [True, reads]
    assert text in found.to_text()


def test_without_a_recorder_it_is_not_known(deployment: Deployment) -> None:
    deployment.pod("a")
    deployment.records("a", packs="now")
    deployment.redis.hset(NAMES.state, "until", 1)
    assert inspect(deployment).packing is Packing.UNKNOWN
