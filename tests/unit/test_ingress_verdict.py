"""The judge of the ingress runs sees each fault that is planted, and no other."""

from __future__ import annotations

import pytest

from tests.chaos.clients import Client, Kind
from tests.chaos.crowd import Record
from tests.chaos.ledger import Event, Ledger, Outcome, Way
from tests.chaos.story import Entry
from tests.ingress.verdict import Bounds, Report, report

ME = "me"
EVENTS = [
    Event(n, Way.PUBLISH, frozenset([ME]), frozenset(), "l", n, n * 1000, n * 1000 + 1,
          Outcome.ACCEPTED)
    for n in range(1, 5)
]  # fmt: skip
CONNECT: Entry = ["connect", 500, "sid", "pid", False]
ALL: list[Entry] = [["event", n * 1000 + 10, n] for n in range(1, 5)]
UPGRADED = [(450, "polling"), (700, "websocket")]
BACK: Entry = ["connect", 2600, "sid", "pid", True]
NEW: Entry = ["connect", 2600, "other sid", "other pid", False]
LOST: Entry = ["lost", 2500, "transport close"]
CALM = Bounds()
DISTURBED = Bounds(disturbed_ms=2_400)


def judged(
    entries: list[Entry],
    bounds: Bounds = CALM,
    *,
    kind: str = "upgrading",
    transports: list[tuple[int, str]] = UPGRADED,
    errors: list[tuple[int, str]] | None = None,
) -> Report:
    client = Client("client", Kind(kind, has_offsets=True), ME, (), "")
    return report(Ledger(EVENTS), [Record(client, 400, entries, transports, errors or [])], bounds)


def kinds(seen: Report) -> list[str]:
    return [fault.partition(":")[0] for fault in seen.faults]


def test_a_client_that_noticed_nothing_is_without_fault() -> None:
    seen = judged([CONNECT, *ALL])
    assert seen.faults == []
    assert (seen.connected, seen.received, seen.upgrade_seconds) == (1, 4, [0.3])


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([CONNECT, *ALL[:3]], ["missing"]),
        ([CONNECT, *ALL, ALL[3]], ["doubled"]),
        ([CONNECT, ALL[1], ALL[0], *ALL[2:]], ["out of order"]),
        ([CONNECT, *ALL[:2], LOST, BACK, *ALL[2:]], ["disconnect"]),
        ([CONNECT, *ALL[:2], LOST, NEW, *ALL[2:]], ["disconnect", "needless"]),
        ([CONNECT, *ALL[:2], LOST], ["disconnect", "not connected at the end"]),
    ],
)
def test_each_fault_is_found_where_pods_live(entries: list[Entry], expected: list[str]) -> None:
    assert kinds(judged(entries)) == expected


def test_an_error_and_a_missing_upgrade_are_faults_though_everything_arrived() -> None:
    seen = judged([CONNECT, *ALL], transports=UPGRADED[:1], errors=[(450, "xhr poll error")])
    assert kinds(seen) == ["connect_error", "never on a WebSocket"]
    assert judged([CONNECT, *ALL], kind="polling", transports=UPGRADED[:1]).faults == []
    assert kinds(judged([CONNECT, *ALL], Bounds(upgrade_seconds=0.2))) == [
        "on a WebSocket too late"
    ]


def test_pods_that_are_replaced_or_killed_excuse_a_loss_but_nothing_that_is_missing() -> None:
    for back in (BACK, NEW):
        entries = [CONNECT, *ALL[:2], LOST, back, *ALL[2:]]
        seen = judged(entries, DISTURBED, errors=[(2550, "websocket error")])
        assert seen.faults == []
    assert kinds(judged([CONNECT, ALL[0], LOST, BACK, *ALL[2:]], DISTURBED)) == ["missing"]
    assert kinds(judged([CONNECT, *ALL[:2], LOST], DISTURBED)) == ["not connected at the end"]
