"""Deadlines: all for the same time, so that the first in is the first out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.engine.deadlines import Deadlines


def test_time_is_over_when_patience_is() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", now_seconds=100)
    deadlines.add("b", now_seconds=101)
    assert list(deadlines.pop_due(104.9)) == []
    assert list(deadlines.pop_due(105)) == ["a"]
    assert list(deadlines.pop_due(105.9)) == []
    assert list(deadlines.pop_due(200)) == ["b"]
    assert len(deadlines) == 0


def test_what_is_added_again_gets_its_whole_time_again() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 100)
    deadlines.add("b", 101)
    deadlines.add("a", 104)
    assert list(deadlines.pop_due(106)) == ["b"]
    assert list(deadlines.pop_due(109)) == ["a"]


def test_what_is_removed_is_never_due_and_may_be_removed_twice() -> None:
    deadlines: Deadlines[str] = Deadlines(5)
    deadlines.add("a", 100)
    assert "a" in deadlines
    deadlines.remove("a")
    deadlines.remove("a")
    assert "a" not in deadlines
    assert list(deadlines.pop_due(1_000)) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["add", "remove", "look"]))))
def test_it_behaves_like_a_dictionary_that_is_searched(doings: list[tuple[str, str]]) -> None:
    deadlines: Deadlines[str] = Deadlines(3)
    model: dict[str, int] = {}
    for now, (thing, doing) in enumerate(doings):
        if doing == "add":
            deadlines.add(thing, now)
            model[thing] = now + 3
        elif doing == "remove":
            deadlines.remove(thing)
            model.pop(thing, None)
        else:
            due = {thing for thing, deadline in model.items() if deadline <= now}
            assert set(deadlines.pop_due(now)) == due
            model = {thing: deadline for thing, deadline in model.items() if thing not in due}
        assert len(deadlines) == len(model)
