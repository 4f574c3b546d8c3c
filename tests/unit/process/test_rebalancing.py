"""Whose connection is too old, and when."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.process.rebalancing import Ages


def never_less() -> float:
    return 0.0


def test_a_connection_is_handed_over_once_when_its_age_has_come() -> None:
    ages = Ages(100, never_less)
    ages.meet(["a"], 10)
    assert ages.take_due({"a"}, 1, 109.9) == []
    assert ages.take_due({"a"}, 1, 110) == ["a"]
    assert ages.take_due({"a"}, 1, 500) == []


def test_who_is_met_again_does_not_become_younger() -> None:
    ages = Ages(100, never_less)
    ages.meet(["a"], 0)
    ages.meet(["b", "a"], 50)
    assert ages.take_due({"a", "b"}, 2, 100) == ["a"]
    assert ages.take_due({"b"}, 1, 150) == ["b"]


def test_nobody_beyond_the_first_known_connection_is_looked_at() -> None:
    ages = Ages(100, never_less)
    ages.meet(["a"], 0)
    looked_at: list[str] = []

    def newest_first() -> Iterator[str]:
        for sid in ("c", "b", "a", "older"):
            looked_at.append(sid)
            yield sid

    ages.meet(newest_first(), 1)
    assert looked_at == ["c", "b", "a"]


def test_who_has_gone_is_not_handed_over() -> None:
    ages = Ages(100, never_less)
    ages.meet(["b", "a"], 0)
    assert ages.take_due({"b"}, 1, 100) == ["b"]


@given(st.floats(0.1, 86_400), st.floats(0, 1, exclude_max=True))
def test_chance_takes_off_a_fifth_at_most(max_age: float, chance: float) -> None:
    ages = Ages(max_age, lambda: chance)
    ages.meet(["a"], 0)
    assert ages.take_due({"a"}, 1, 0.8 * max_age * (1 - 1e-9)) == []
    assert ages.take_due({"a"}, 1, max_age) == ["a"]


def test_who_came_together_does_not_leave_together() -> None:
    chances = itertools.cycle([0.0, 0.25, 0.5, 0.75])
    ages = Ages(100, lambda: next(chances))
    sids = [str(number) for number in range(400)]
    ages.meet(sids, 0)
    left = [len(ages.take_due(sids, 400, moment)) for moment in (84, 89, 94, 99, 100)]
    assert left == [0, 100, 100, 100, 100]


def test_the_deadlines_of_those_who_have_gone_do_not_pile_up() -> None:
    ages = Ages(1_000_000, never_less)
    for number in range(10_000):
        ages.meet([f"s{number}"], number)
        ages.take_due({f"s{number}"}, 1, number)
        assert len(ages._deadlines) <= 1_003
    assert ages.take_due({"s9999"}, 1, 2_000_000) == ["s9999"]
