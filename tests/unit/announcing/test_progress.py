"""How batches go on after what a backend answers."""

from __future__ import annotations

import pytest

from constellation_ws.announcing.progress import (
    MAX_BATCH,
    Outcome,
    Progress,
    count_removed,
    judge,
)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (299, Outcome.ACCEPTED),
        (199, Outcome.FAILED),
        (300, Outcome.FAILED),
        (400, Outcome.REFUSED),
        (413, Outcome.REFUSED),
        (422, Outcome.REFUSED),
        *((status, Outcome.FAILED) for status in (301, 401, 403, 404, 408, 425, 429, 500, 503)),
    ],
)
def test_only_what_nobody_will_put_right_is_a_refusal(status: int, outcome: Outcome) -> None:
    assert judge(status) is outcome


def test_a_failed_batch_is_sent_again_later_and_later_up_to_a_bound() -> None:
    progress, waits = Progress(), []
    for _ in range(100):
        progress = progress.after(Outcome.FAILED, 100, now=1000, chance=1)
        waits.append(progress.not_before - 1000)
    assert waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]
    assert waits[-1] == 30
    assert progress.after(Outcome.FAILED, 100, 0, chance=0).not_before == 15
    assert not progress.is_done(Outcome.FAILED, 1)
    assert progress.after(Outcome.ACCEPTED, 100, 1000, 0) == Progress()


def test_a_refused_batch_is_sent_event_by_event_and_then_batches_go_on() -> None:
    progress = Progress().after(Outcome.REFUSED, 3, 0, 0)
    assert not Progress().is_done(Outcome.REFUSED, 3)
    batches = []
    for outcome in (Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED):
        batches.append(progress.batch)
        assert progress.is_done(outcome, 1)
        progress = progress.after(outcome, 1, 0, 0)
    assert batches == [1, 1, 1]
    assert progress == Progress()
    assert progress.batch == MAX_BATCH


def test_a_batch_of_two_that_is_refused_is_divided_and_one_event_is_lost() -> None:
    assert Progress().after(Outcome.REFUSED, 2, 0, 0) == Progress(singles=2)
    assert Progress().after(Outcome.REFUSED, 1, 0, 0) == Progress()


def test_failures_between_do_not_end_sending_event_by_event() -> None:
    progress = Progress().after(Outcome.REFUSED, 3, 0, 0).after(Outcome.FAILED, 1, 0, 0)
    assert (progress.singles, progress.failures) == (3, 1)
    assert progress.after(Outcome.ACCEPTED, 1, 0, 0) == Progress(singles=2)


@pytest.mark.parametrize(
    ("accepted", "first", "removed"), [(0, 1, 0), (7, 8, 0), (7, 11, 3), (9, 1, 0)]
)
def test_numbers_that_are_passed_over_are_events_that_were_removed(
    accepted: int, first: int, removed: int
) -> None:
    assert count_removed(accepted, first) == removed
