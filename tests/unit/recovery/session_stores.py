"""A session store that runs, for tests on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from constellation_ws.log.positions import Ticket
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.recovery.store import SessionStore
from tests.spawning import spawn
from tests.waiting import cancelled

DELIVERED = (7, 0)


class Fenced(list[tuple[str, str]]):
    """The connections that were told that their session is another's."""

    def add(self, sid: str, owner: str) -> None:
        self.append((sid, owner))


@asynccontextmanager
async def running(
    redis: Redis, fenced: Fenced | None = None, mark: SessionMark | None = None
) -> AsyncIterator[SessionStore]:
    store = SessionStore(redis, spawn, mark or SessionMark("pod"))
    told = fenced if fenced is not None else Fenced()
    task = asyncio.create_task(store.run(lambda: DELIVERED, told.add))
    try:
        yield store
    finally:
        await cancelled([task])


def ticket(pid: str = "p", owner: str = "a.1", sid: str = "s") -> Ticket:
    return Ticket(pid, owner, "u", sid, {"user:u"}, epoch="e", begin=(1, 0), has_offsets=True)


async def taken_rooms(store: SessionStore, pid: str = "p") -> set[str]:
    acquired = await store.acquire(pid, "u", "z.9")
    assert acquired is not None
    assert acquired.record is not None
    return acquired.record.final_rooms
