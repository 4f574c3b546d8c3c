"""Which events came though the token of their connection had ended."""

from __future__ import annotations

import pytest

from tests.chaos.ledger import Event, Ledger, Way
from tests.chaos.timeline import Strike, Timeline
from tests.simulation.tokens import Overdue, too_late

EXPIRED_MS = 10_000


@pytest.mark.parametrize(
    ("sent_ms", "strikes", "is_late"),
    [
        (9_000, [], False),
        (10_900, [], False),
        (11_100, [], True),
        (12_000, [Strike("pause", 9_000, 11_900)], False),
        (12_000, [Strike("pause", 5_000, 8_000)], True),
        (12_000, [Strike("pause", 13_000, 14_000)], True),
        (12_000, [Strike("hang", 9_000, 11_900)], True),
    ],
    ids=[
        "sent before, and late on its way",
        "the gateway has half a second",
        "sent after the end",
        "the pod stood still",
        "it had gone on long ago",
        "it still ran",
        "Redis need not answer for that",
    ],
)
def test_what_is_sent_after_the_end_of_a_token_must_not_arrive(
    sent_ms: int, strikes: list[Strike], is_late: bool
) -> None:
    ledger = Ledger()
    ledger.enter(Event(1, Way.PUBLISH, frozenset("u"), frozenset(), sent_ms=sent_ms))
    found = too_late([Overdue(1, EXPIRED_MS)], ledger, Timeline(strikes))
    assert found == [1] * is_late


def test_an_event_that_nobody_sent_is_judged_elsewhere() -> None:
    assert too_late([Overdue(1, EXPIRED_MS)], Ledger(), Timeline()) == []
