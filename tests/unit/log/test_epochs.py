"""Who ends an epoch of the log, and which one, on a real Valkey."""

from __future__ import annotations

from redis.asyncio import Redis

from constellation_ws.log.epochs import Epochs
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LogState
from constellation_ws.redis_io.names import DEFAULT

DELIVERED = (0, 1)
"""Where an empty log begins."""


def pod(redis: Redis, name: str) -> Epochs:
    mark = SessionMark(name)
    return Epochs(LogState(redis, DEFAULT, mark), mark)


async def follow(epochs: Epochs) -> str:
    """Look, and deliver all that is there."""
    look = await epochs.look(DELIVERED, has_watched=True)
    epochs.adopt()
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
