"""Sessions that Redis has lost while the log was as before end the epoch, on a real Valkey."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log.epochs import Epochs
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LogState
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.names import DEFAULT
from tests.unit.recovery.session_stores import running, ticket

DELIVERED = (0, 1)
"""Where an empty log begins."""


class Pod:
    """What of a pod writes sessions, and looks at the log."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self.mark = SessionMark("pod")
        self.epochs = Epochs(LogState(redis, DEFAULT, self.mark), self.mark, {})

    async def look(self) -> tuple[str, str | None]:
        """Look and deliver all that is there; give the epoch, and the reason of a gap."""
        look = await self.epochs.look(DELIVERED, has_watched=True)
        return look.epoch, self.epochs.adopt()

    async def stored(self) -> int:
        return int(await self.redis.hget(DEFAULT.state, self.mark.field) or 0)


@pytest.fixture
async def pod(redis: Redis) -> Pod:
    pod = Pod(redis)
    await pod.look()
    return pod


async def write(store: SessionStore, *rooms: str) -> None:
    session = ticket()
    for room in rooms:
        session.moved(room, (2, 0), is_in=True)
    await store.save(session, 60)


async def go_back(pod: Pod, number: int) -> None:
    """Let Redis have what it had before a later write."""
    await pod.redis.hset(DEFAULT.state, pod.mark.field, number)


async def test_what_redis_has_kept_changes_nothing(redis: Redis, pod: Pod) -> None:
    before, _ = await pod.look()
    async with running(redis, mark=pod.mark) as store:
        await write(store, "a")
        await write(store, "b")
    assert pod.mark.confirmed == await pod.stored() > 0
    assert await pod.look() == (before, None)


async def test_sessions_that_redis_has_lost_end_the_epoch_once(redis: Redis, pod: Pod) -> None:
    before, _ = await pod.look()
    async with running(redis, mark=pod.mark) as store:
        await write(store, "a")
        await go_back(pod, 0)
        after, reason = await pod.look()
        assert (after != before, reason) == (True, "sessions")
        assert await pod.look() == (after, None)
        await write(store, "b")
    assert pod.mark.confirmed == await pod.stored() > 0
    assert await pod.look() == (after, None)


async def test_a_write_before_the_look_does_not_hide_the_loss(redis: Redis, pod: Pod) -> None:
    async with running(redis, mark=pod.mark) as store:
        await write(store, "a")
        await go_back(pod, 0)
        await write(store, "b")
    assert await pod.stored() == 0
    assert (await pod.look())[1] == "sessions"


async def test_a_refresh_is_no_news(redis: Redis, pod: Pod) -> None:
    """What it brings only saves work: an epoch is not to end where it is lost."""
    async with running(redis, mark=pod.mark) as store:
        session = ticket()
        await store.save(session, 60)
        confirmed = pod.mark.confirmed
        await store.save(session, 60)
    assert pod.mark.confirmed == confirmed


async def test_a_new_epoch_leaves_no_marks(redis: Redis, pod: Pod) -> None:
    async with running(redis, mark=pod.mark) as store:
        await write(store, "a")
    other = Pod(redis)
    other.mark.field = "sessions other"
    await other.look()
    other.epochs.end("passed_over")
    await other.look()
    assert await pod.stored() == 0
    assert (await pod.look())[1] == "passed_over"
    assert (await pod.look())[1] is None


async def test_redis_without_a_log_gets_no_state(redis: Redis, pod: Pod) -> None:
    await pod.redis.flushall()
    async with running(redis, mark=pod.mark) as store:
        await write(store, "a")
    assert not await pod.redis.exists(DEFAULT.state)
