"""Whether what a pod missed was recorded, by how many recorders had missed it too."""

from __future__ import annotations

import pytest

from constellation_ws.log.filled_holes import FilledHoles
from constellation_ws.log.pubsub_positions import Hole


def hole(late: int, noted_at: float = 0.0) -> Hole:
    return Hole(0, 1, is_lossy=True, late=late, noted_at=noted_at)


@pytest.mark.parametrize(
    ("began", "answer", "is_lost"),
    [
        pytest.param([2], 2, False, id="the recorders were there all the time"),
        pytest.param([2], 3, True, id="one was late"),
        pytest.param([2, 3], 3, True, id="one was late for the first hole"),
        pytest.param([3, 3], 3, False, id="one was late before both holes"),
        pytest.param([5], 0, True, id="Redis went back, so nobody knows"),
        pytest.param([], 9, False, id="nothing was missed"),
    ],
)
def test_a_hole_is_lost_if_a_recorder_was_late_since_it_began(
    began: list[int], answer: int, is_lost: bool
) -> None:
    holes = FilledHoles()
    holes.add(map(hole, began))
    holes.ask()
    assert holes.answer(answer) is is_lost
    assert holes.late == answer
    holes.ask()
    assert not holes.answer(answer + 1), "each is judged once"


def test_an_answer_says_nothing_of_what_the_log_passed_after_the_question() -> None:
    holes = FilledHoles()
    holes.ask()
    holes.add([hole(1)])
    assert not holes.answer(2)
    holes.ask()
    assert holes.answer(2)


def test_a_question_without_an_answer_is_repeated() -> None:
    holes = FilledHoles()
    holes.add([hole(1)])
    holes.ask()
    holes.ask()
    assert holes.answer(2)


def test_what_was_reported_is_not_judged_any_more() -> None:
    holes = FilledHoles()
    holes.add([hole(1)])
    holes.ask()
    holes.add([hole(1)])
    holes.clear()
    holes.ask()
    assert not holes.answer(2)


@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize(("noted_at", "is_lost"), [(9, False), (10, False), (11, True)])
def test_an_epoch_reports_the_holes_that_ended_before_it(
    noted_at: float, *, is_lost: bool, is_asked: bool
) -> None:
    """A dead subscription that is found out later may lack what was published since."""
    holes = FilledHoles()
    holes.add([hole(1, noted_at)])
    if is_asked:
        holes.ask()
    holes.begin_epoch(10)
    holes.ask()
    assert holes.answer(2) is is_lost


def test_before_the_first_answer_no_recorder_was_late() -> None:
    assert FilledHoles().late == 0
