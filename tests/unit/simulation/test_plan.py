"""Plans of faults: drawn from a seed, written, and made shorter."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation import plan
from tests.simulation.faults import FAULTS
from tests.simulation.faults.kinds import Blow


def test_a_seed_gives_the_same_plan() -> None:
    assert plan.draw("a", 60, FAULTS) == plan.draw("a", 60, FAULTS)
    assert plan.draw("a", 60, FAULTS) != plan.draw("b", 60, FAULTS)


def test_every_fault_is_drawn_at_some_time() -> None:
    drawn = {blow.name for seed in range(200) for blow in plan.draw(str(seed), 60, FAULTS)}
    assert drawn == {name for name, fault in FAULTS.items() if not fault.is_alone}
    assert {blow.name for blow in plan.draw("a", 60, FAULTS, "stop-all")} == {"stop-all"}


def test_a_world_has_its_own_fault_alone() -> None:
    assert {blow.name for blow in plan.draw("a", 60, FAULTS, "hang")} == {"hang"}


def test_a_plan_is_read_as_it_was_written() -> None:
    blows = plan.draw("a", 60, FAULTS)
    assert plan.from_text(plan.to_text(blows)) == blows
    assert plan.from_text("") == []


def test_faults_that_do_not_matter_are_left_out() -> None:
    blows = [Blow(name, at, 1.0, "s") for at, name in enumerate("abcde")]

    def fails(left: Sequence[Blow]) -> bool:
        return {"b", "d"} <= {blow.name for blow in left}

    assert [blow.name for blow in plan.shorten(blows, fails)] == ["b", "d"]
