"""Whether a pod listens follows from what Redis answers, and from nothing else."""

from __future__ import annotations

import pytest

from constellation_ws.log.seats import Seat, Stand
from constellation_ws.recording.standing import Debts, next_stand


def test_a_listener_stops_only_because_enough_others_listen() -> None:
    assert next_stand(Stand.LISTENS, Seat.HELD) is Stand.LISTENS
    assert next_stand(Stand.LISTENS, Seat.LACKING) is Stand.LISTENS
    assert next_stand(Stand.LISTENS, Seat.REFUSED) is Stand.LOOKS


def test_a_pod_begins_to_listen_after_two_answers_that_too_few_do() -> None:
    assert next_stand(Stand.LOOKS, Seat.LACKING) is Stand.WANTS
    assert next_stand(Stand.WANTS, Seat.HELD) is Stand.LISTENS
    assert next_stand(Stand.WANTS, Seat.REFUSED) is Stand.LOOKS
    assert next_stand(Stand.LOOKS, Seat.REFUSED) is Stand.LOOKS


@pytest.mark.parametrize("stand", [Stand.LEAVES, Stand.GONE])
@pytest.mark.parametrize("seat", Seat)
def test_a_pod_that_leaves_does_not_change_its_mind(stand: Stand, seat: Seat) -> None:
    assert next_stand(stand, seat) is stand


def test_a_pod_that_has_received_nothing_owes_nothing() -> None:
    debts = Debts()
    debts.note(5, 0)
    assert debts.resolved(0) == 5


def test_what_was_received_before_a_late_recorder_has_to_be_in_the_log_first() -> None:
    debts = Debts()
    debts.note(5, 0)
    assert debts.resolved(0) == 5
    debts.note(6, 10)
    assert debts.resolved(9) == 5
    debts.note(6, 20)
    assert debts.resolved(10) == 6


def test_one_more_late_recorder_is_waited_for_too() -> None:
    debts = Debts()
    debts.note(1, 10)
    debts.note(2, 20)
    assert debts.resolved(10) == 0
    assert debts.resolved(20) == 2
