"""Whether what a pod missed was recorded, by how many recorders had missed it too."""

from __future__ import annotations

import pytest

from constellation_ws.log.filled_holes import FilledHoles


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
    holes.add(began)
    holes.ask()
    assert holes.answer(answer) is is_lost
    assert holes.late == answer
    holes.ask()
    assert not holes.answer(answer + 1), "each is judged once"


def test_an_answer_says_nothing_of_what_the_log_passed_after_the_question() -> None:
    holes = FilledHoles()
    holes.ask()
    holes.add([1])
    assert not holes.answer(2)
    holes.ask()
    assert holes.answer(2)


def test_a_question_without_an_answer_is_repeated() -> None:
    holes = FilledHoles()
    holes.add([1])
    holes.ask()
    holes.ask()
    assert holes.answer(2)


def test_what_was_reported_is_not_judged_any_more() -> None:
    holes = FilledHoles()
    holes.add([1])
    holes.ask()
    holes.add([1])
    holes.clear()
    holes.ask()
    assert not holes.answer(2)


def test_before_the_first_answer_no_recorder_was_late() -> None:
    assert FilledHoles().late == 0
