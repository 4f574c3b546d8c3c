"""Worlds in processes of their own: one that does not end becomes a failure with its seed."""

from __future__ import annotations

import time

import pytest

from tests.simulation import forking
from tests.simulation.run import Outcome, Task
from tests.waiting import PATIENCE_SECONDS


def test_a_world_that_does_not_end_is_reported_with_its_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS

    def never_end(task: Task) -> Outcome:
        while time.monotonic() < deadline:
            pass
        return Outcome(task.seed, [])

    monkeypatch.setattr(forking, "run", never_end)
    monkeypatch.setattr(forking, "_STUCK_SECONDS", 0.05)
    outcomes = list(forking.run_all([Task("one", 1.0), Task("two", 1.0)], jobs=2))
    assert sorted(one.seed for one in outcomes) == ["one", "two"]
    assert all("does not end" in failure for one in outcomes for failure in one.failures)
    assert all("never_end" in one.story for one in outcomes), "where it was"
