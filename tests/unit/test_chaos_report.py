"""What the page about a chaos run says: nothing that is wrong may be missing from it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tests.chaos.ledger import Event, Ledger, Outcome, Way
from tests.chaos.losses import Counts
from tests.chaos.report import Row, stories, sum_up, table
from tests.chaos.story import Story
from tests.chaos.timeline import CALM, Strike, Timeline
from tests.chaos.verdict import judge

ALL = {
    number: Event(
        number, Way.XADD, frozenset(["me"]), frozenset(), "lane", number, sent, sent + 5,
        Outcome.ACCEPTED, f"{number}-0",
    )
    for number, sent in ((1, 1_000), (2, 3_000), (3, 16_000))
}  # fmt: skip
LEDGER = Ledger(ALL.values())
TIMELINE = Timeline(
    [Strike("flushall", 2_500, 2_501, is_lossy=True), Strike("roll", 15_000, 15_500)]
)
WRONGED = Story(
    "wronged",
    "kind",
    "me",
    [
        ["connect", 0, "s", "p", False],
        ["event", 1_010, 1],
        ["lost", 15_600, "gone"],
        ["connect", 15_700, "s", "p", True],
        ["event", 16_010, 3],
    ],
)
CONTENT = Story("content", "kind", "you", [["connect", 0, "t", "q", False]])


def test_everything_is_put_down_to_the_disaster_that_had_struck_last() -> None:
    verdicts = [judge(LEDGER, story, TIMELINE) for story in (WRONGED, CONTENT)]
    calm, flushall, roll = sum_up(LEDGER, verdicts, TIMELINE, Counts(), ["content"])
    assert (calm.world, flushall.world, roll.world) == (CALM, "flushall", "roll")
    assert [row.published for row in (calm, flushall, roll)] == [1, 1, 1]
    assert [row.delivered for row in (calm, flushall, roll)] == [1, 0, 1]
    assert (flushall.missing, flushall.unreported) == (1, 1)
    assert (roll.recovered, roll.away) == (1, 1)
    assert [row.faults for row in (calm, flushall, roll)] == [0, 2, 1]


def test_the_story_shows_the_connects_the_disasters_and_what_is_missing() -> None:
    verdicts = [judge(LEDGER, story, TIMELINE) for story in (CONTENT, WRONGED)]
    told = stories(LEDGER, verdicts, TIMELINE)
    assert told.startswith("wronged (kind), user me")
    for part in ("*** flushall", "*** roll", "recovered, sid s", "recovered without it", "event 2"):
        assert part in told
    assert stories(LEDGER, verdicts[:1], TIMELINE) == ""


COUNTED = (
    "missing", "doubled", "disordered", "stray", "needless", "unreported", "away",
)  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_each_kind_of_fault_makes_a_row_fail(name: str) -> None:
    row = Row("world", **{name: 1})  # type: ignore[arg-type]  # each is a number
    assert row.faults == 1
    assert "FAILED" in table([row])
    assert "FAILED" not in table([Row("world", published=5, new_sessions=3)])


def test_troubles_of_pods_make_a_row_fail_and_rows_add_up() -> None:
    assert Row("world", troubles=["pod-1 died"]).faults == 1
    total = Row("world")
    total.add(Row("world", missing=2, troubles=["one"]))
    total.add(Row("world", missing=3))
    assert (total.missing, total.troubles) == (5, ["one"])


def test_every_number_has_a_column() -> None:
    heads = table([]).split()
    assert len(heads) == len([one for one in fields(Row) if one.name != "troubles"]) + 1
