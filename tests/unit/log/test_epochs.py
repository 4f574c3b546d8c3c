"""Who ends an epoch of the log, and who may say that a restarted Redis has lost nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from constellation_ws.log import epochs
from constellation_ws.log.epochs import Epochs
from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LogState, Look
from constellation_ws.redis_io.names import DEFAULT

DELIVERED = (0, 1)
"""Where an empty log begins."""
FOUND = Look("1-a", BEGINNING, "founded", BEGINNING, BEGINNING, True, "", 60.0, "first", "first")


def pod(redis: Redis, name: str) -> Epochs:
    mark = SessionMark(name)
    return Epochs(LogState(redis, DEFAULT, mark), mark, {})


async def follow(one: Epochs) -> str:
    """Look, and deliver all that is there."""
    look = await one.look(DELIVERED, has_watched=True)
    one.adopt()
    return look.epoch


async def test_a_loss_ends_the_epoch_once_for_all_pods_that_have_noticed_it(redis: Redis) -> None:
    a, b = pod(redis, "a"), pod(redis, "b")
    first = await follow(a)
    assert await follow(b) == first
    a.end("passed_over")
    b.end("passed_over")
    second = await follow(b)
    assert second != first
    assert await follow(a) == second
    assert await follow(a) == second, "nor later"


async def test_what_is_lost_of_a_new_epoch_ends_that_one_too(redis: Redis) -> None:
    """A pod that was cut off finds a new epoch, reads it, and has what is missing in it."""
    a, b = pod(redis, "a"), pod(redis, "b")
    first = await follow(a)
    await follow(b)
    b.end("passed_over")
    second = await follow(b)
    found = await a.look(DELIVERED, has_watched=True)
    assert found.epoch == second
    a.end("passed_over")
    third = await follow(a)
    assert third not in (first, second)
    assert await follow(b) == third


class FakeState:
    """The state of a log that lost nothing that a look could find."""

    def __init__(self) -> None:
        self.found = FOUND
        self.is_full = False

    def restart(self, run_id: str, *, is_watched_by_others: bool = False) -> None:
        watched = run_id if is_watched_by_others else self.found.watched
        self.found = replace(self.found, run_id=run_id, watched=watched)

    async def look(self, delivered: LogId) -> Look:
        return self.found

    async def confirm_watched(self, look: Look) -> None:
        if self.is_full:
            raise ResponseError("OOM")
        self.found = replace(self.found, watched=look.run_id)

    async def replace(self, epoch: str, reason: str, *, known: str | None) -> None:
        if self.is_full:
            raise ResponseError("OOM")
        run_id = self.found.run_id
        self.found = replace(self.found, epoch="2-b", reason=reason, watched=run_id)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_WATCHER_SECONDS", 0.0)


@pytest.fixture
def state() -> FakeState:
    return FakeState()


@pytest.fixture
async def one(state: FakeState) -> Epochs:
    """What a pod knows that follows the log."""
    one = Epochs(cast("LogState", state), SessionMark("a"), {})
    await gap_of(one, has_watched=False)
    return one


async def gap_of(one: Epochs, *, has_watched: bool = True) -> str | None:
    """Look as after a lost connection, and deliver all that is there; give the gap's reason."""
    await one.look(BEGINNING, has_watched=has_watched)
    return one.adopt()


async def test_who_followed_the_log_until_redis_was_restarted_vouches_for_it(
    state: FakeState, one: Epochs
) -> None:
    for run_id in ("second", "third"):
        state.restart(run_id)
        assert await gap_of(one) is None
        assert state.found.watched == run_id


async def test_who_was_cut_off_before_does_not_vouch(state: FakeState, one: Epochs) -> None:
    state.restart("second")
    assert await gap_of(one, has_watched=False) == epochs.UNWATCHED


async def test_who_missed_a_restart_that_others_followed_does_not_vouch_for_the_next(
    state: FakeState, one: Epochs
) -> None:
    """It had followed the log until its connection was lost, and all that it knew was there."""
    state.restart("second", is_watched_by_others=True)
    state.restart("third")
    assert await gap_of(one) == epochs.UNWATCHED
    assert one.known == "2-b"


async def test_who_comes_back_while_redis_runs_on_vouches_for_the_next(
    state: FakeState, one: Epochs
) -> None:
    state.restart("second", is_watched_by_others=True)
    assert await gap_of(one, has_watched=False) is None
    state.restart("third")
    assert await gap_of(one) is None


async def test_a_full_redis_that_could_not_be_told_is_vouched_for_all_the_same(
    state: FakeState, one: Epochs
) -> None:
    state.is_full = True
    for run_id in ("second", "third"):
        state.restart(run_id)
        assert await gap_of(one) is None
    state.is_full = False
    state.restart("fourth")
    assert await gap_of(one) is None
    assert state.found.watched == "fourth"


async def test_what_was_not_seen_in_a_full_redis_is_vouched_for_by_nobody(
    state: FakeState, one: Epochs
) -> None:
    state.is_full = True
    state.restart("second")
    await gap_of(one, has_watched=False)
    assert one.current is None, "a loss that cannot be written"
    state.is_full = False
    state.restart("third")
    assert await gap_of(one) == epochs.UNWATCHED
    assert one.current == "2-b"


async def test_a_state_of_an_earlier_release_names_no_redis(state: FakeState, one: Epochs) -> None:
    state.found = replace(state.found, watched="")
    state.restart("second")
    assert await gap_of(one) is None
    assert state.found.watched == "second"
