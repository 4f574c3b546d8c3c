"""The timer wheel, against the plainest model of it: a dictionary of due steps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from constellation_ws.engine.wheel import Wheel


class Thing:
    """Something that waits for its turn."""

    def __init__(self) -> None:
        self.slot = -1


def turns_until(wheel: Wheel, thing: Thing, at_most: int = 1_000) -> int:
    for turn in range(1, at_most):
        if thing in wheel.advance():
            return turn
    raise AssertionError("its turn has not come")


@pytest.mark.parametrize(
    ("delay", "turns"), [(0, 1), (0.1, 1), (1, 1), (1.1, 2), (2, 2), (19.9, 20), (20, 20)]
)
def test_a_turn_comes_after_the_delay_rounded_up(delay: float, turns: int) -> None:
    wheel, thing = Wheel(step_seconds=1, longest_seconds=20), Thing()
    wheel.put(thing, delay)
    assert turns_until(wheel, thing) == turns


def test_a_turn_comes_once() -> None:
    wheel, thing = Wheel(1, 5), Thing()
    wheel.put(thing, 3)
    turns_until(wheel, thing)
    assert [wheel.advance() for _ in range(20)] == [[]] * 20
    assert (len(wheel), thing.slot) == (0, -1)


def test_what_is_put_again_stands_in_its_new_place_only() -> None:
    wheel, thing = Wheel(1, 5), Thing()
    wheel.put(thing, 2)
    wheel.put(thing, 4)
    assert len(wheel) == 1
    assert turns_until(wheel, thing) == 4


def test_what_is_removed_has_no_turn_and_may_be_removed_twice() -> None:
    wheel, thing = Wheel(1, 5), Thing()
    wheel.put(thing, 2)
    wheel.remove(thing)
    wheel.remove(thing)
    assert [wheel.advance() for _ in range(10)] == [[]] * 10


def test_whoever_has_their_turn_may_be_put_back_at_once() -> None:
    wheel, thing = Wheel(1, 5), Thing()
    wheel.put(thing, 5)
    for _ in range(10):
        assert turns_until(wheel, thing) == 5
        wheel.put(thing, 5)


@given(
    step=st.floats(0.05, 10),
    longest=st.floats(0.05, 100),
    share=st.floats(0, 1, exclude_min=True),
)
def test_nobody_waits_less_than_the_delay_nor_a_step_more(
    step: float, longest: float, share: float
) -> None:
    wheel, thing = Wheel(step, longest), Thing()
    delay = longest * share
    wheel.put(thing, delay)
    turns = turns_until(wheel, thing, at_most=10_000)
    # From within the current step: its rest may be next to nothing.
    assert turns * step >= delay * (1 - 1e-9)
    assert (turns - 1) * step <= max(delay, step) * (1 + 1e-9)


class WheelMachine(RuleBasedStateMachine):
    """The wheel and a dictionary of due steps, doing the same."""

    @initialize()
    def begin(self) -> None:
        self.wheel = Wheel(0.5, 10)
        self.things = [Thing() for _ in range(8)]
        self.due: dict[Thing, int] = {}
        self.now = 0

    @rule(number=st.integers(0, 7), delay=st.floats(0, 10))
    def put(self, number: int, delay: float) -> None:
        thing = self.things[number]
        self.wheel.put(thing, delay)
        self.due[thing] = self.now + max(1, math.ceil(delay / 0.5))

    @rule(number=st.integers(0, 7))
    def remove(self, number: int) -> None:
        thing = self.things[number]
        self.wheel.remove(thing)
        self.due.pop(thing, None)

    @rule()
    def turn(self) -> None:
        self.now += 1
        expected = {thing for thing, due in self.due.items() if due == self.now}
        assert set(self.wheel.advance()) == expected
        for thing in expected:
            del self.due[thing]

    @invariant()
    def agree_on_the_count(self) -> None:
        if hasattr(self, "wheel"):
            assert len(self.wheel) == len(self.due)


TestWheelAgainstItsModel = WheelMachine.TestCase
