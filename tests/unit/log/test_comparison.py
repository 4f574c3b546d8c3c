"""What may have been in a log that has lost entries, and what certainly was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from constellation_ws.log.comparison import Comparison
from constellation_ws.log.ids import BEGINNING
from constellation_ws.log.seats import Seat, SeatReply
from constellation_ws.log.state import LeaseReply, Look
from constellation_ws.log.unrecorded import Unrecorded

FIRST = Look("1-a", BEGINNING, "", BEGINNING, BEGINNING, True, "", 50, "first run", "first run")
SECOND = replace(FIRST, epoch="2-b", age_seconds=0, run_id="second run")


def subscriber(run_id: str) -> tuple[Unrecorded, Comparison]:
    """One that has a message of an ended subscription, and one of a subscription to this Redis."""
    unrecorded = Unrecorded(b"pod", 1 << 20)
    comparison = Comparison(unrecorded)
    comparison.look(FIRST, 0, 0)
    comparison.begin_after(BEGINNING, None)
    comparison.note_whole()
    unrecorded.tick(b"a")
    unrecorded.receive(b"c", b"before")
    unrecorded.interrupt(is_lossy=False, received_at=50, noted_at=50)
    unrecorded.tick(b"b")
    comparison.note_subscription(run_id)
    unrecorded.receive(b"c", b"now")
    return unrecorded, comparison


@pytest.mark.parametrize(
    ("run_id", "lost"),
    [("second run", (1, True)), ("first run", (2, False)), ("", (2, False))],
)
def test_what_a_redis_that_was_started_since_has_sent_was_not_in_the_log_before(
    run_id: str, lost: tuple[int, bool]
) -> None:
    unrecorded, comparison = subscriber(run_id)
    comparison.look(SECOND, 100, 100)
    comparison.note_gap("replaced")
    assert unrecorded.give_up() == lost


@pytest.mark.parametrize("reason", ["replaced", "founded"])
def test_what_a_redis_has_sent_may_have_been_in_the_log_that_it_lost_itself(reason: str) -> None:
    """Whether a pod that knew that log has ended its epoch, or one that has just started."""
    unrecorded, comparison = subscriber("second run")
    comparison.look(SECOND, 100, 100)
    comparison.note_whole()
    comparison.look(replace(SECOND, epoch="3-c"), 200, 200)
    comparison.note_gap(reason)
    assert unrecorded.give_up() == (2, False)


@pytest.mark.parametrize(("held_until", "count"), [(101, 0), (100, 1)])
def test_the_pod_that_recorded_until_the_loss_knows_what_was_recorded(
    held_until: float, count: int
) -> None:
    unrecorded, comparison = subscriber("second run")
    comparison.note_lease(held_until)
    comparison.look(SECOND, 100, 100)
    comparison.note_gap("replaced")
    assert unrecorded.give_up()[0] == count


def test_a_log_that_is_whole_leaves_nothing_in_doubt() -> None:
    unrecorded, comparison = subscriber("second run")
    comparison.look(SECOND, 100, 100)
    comparison.note_gap("trimmed")
    assert unrecorded.give_up()[0] == 0


def test_what_a_recorder_said_of_an_earlier_log_does_not_hold_back_what_it_says_of_this_one() -> (
    None
):
    unrecorded, comparison = subscriber("second run")
    seats = SeatReply(Seat.REFUSED, 0, 0, 0, 0)
    told = LeaseReply(False, "1-a", b"b:0", (900, 0), "other.1", 0, seats, 1, is_free=False)
    assert comparison.confirm(told, (900, 0)) == (0, False)
    comparison.look(SECOND, 100, 100)
    comparison.note_gap("replaced")
    comparison.begin_after((0, 1), None)
    now = replace(told, epoch="2-b", recorded_position=b"b:1", recorded_log_id=(0, 1))
    for _ in range(2):
        comparison.confirm(now, (0, 1))
    assert unrecorded.begin == unrecorded.end


@pytest.mark.parametrize(("asked_at", "is_reported"), [(100, True), (90, False)])
def test_only_what_was_there_before_the_epoch_can_have_begun_is_reported_with_it(
    asked_at: float, is_reported: bool
) -> None:
    """The answer may have been under way for long: it does not say when Redis looked."""
    unrecorded, comparison = subscriber("first run")
    comparison.note_received(95)
    comparison.look(SECOND, asked_at, 100)
    comparison.note_gap("replaced")
    assert unrecorded.give_up() == (2, is_reported)
