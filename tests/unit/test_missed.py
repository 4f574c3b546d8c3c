"""Finding what a session missed: in its turn, up to the last event delivered, and within bounds.

What is read from the log is tried in test_readback, what is replayed of it in test_replay.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service import missed
from service.events import EventName, Fields
from service.history import BEGINNING, History, Logged, format_id
from service.metrics import Metrics
from service.missed import Backlog, Outcome
from service.redis_log import RedisLog
from service.redis_log.layout import KEY
from service.replay import Meaning, Replay, ReplayLimits
from service.routes import Message
from service.session_store import SessionRecord
from service.ticket import LogId
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

LIMITS = ReplayLimits(10_000, 1 << 24)
WINDOW_SECONDS = 100.0


class Log:
    """What `Backlog` needs of the log where all is in memory; reading it never ends."""

    async def reached(self, log_id: LogId) -> None:
        """All has been delivered."""

    async def let_go(self) -> LogId:
        await asyncio.Event().wait()
        raise AssertionError("it never ends")


class Pod:
    """A backlog and its memory."""

    def __init__(self, log: object = None, max_bytes: int = 1 << 26) -> None:
        self.decoded = 0
        self.history = History(max_bytes)
        self.history.start(BEGINNING)
        self.backlog = Backlog(
            log or Log(),  # type: ignore[arg-type]
            self.history, self._read, LIMITS, WINDOW_SECONDS,
        )  # fmt: skip
        self.delivered = 0
        self.tasks = [asyncio.create_task(self.backlog.read_back(lambda: None))]

    def _read(self, channel: bytes, payload: bytes) -> Meaning:
        self.decoded += 1
        return Message(EventName("e"), Fields(), [channel.decode()], (), ())

    def deliver(self, count: int, room: str = "user:other", at_ms: int | None = None) -> None:
        """Deliver events for the members of a room."""
        batch: list[Logged] = []
        for _ in range(count):
            self.delivered += 1
            log_id = (at_ms or self.delivered, 0)
            batch.append((format_id(log_id), room.encode(), b"{}"))
        self.history.append(batch)

    async def find(self, start: int, *rooms: str) -> Replay | Outcome:
        found = await self.backlog.find(record(start, *rooms), None, frozenset())
        return found if isinstance(found, Outcome) else found[1]


def record(start: int, *rooms: str) -> SessionRecord:
    at = format_id((start, 0)).decode()
    return SessionRecord("u", "sid", list(rooms), position=at, rooms_at=at, is_exact=True)


def offsets(found: Replay | Outcome) -> list[int]:
    assert isinstance(found, Replay)
    return [int(frame.offset.partition(b"-")[0]) for frame in found.frames]


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    pod = Pod()
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield pod
    await cancelled(pod.tasks)


async def test_a_quiet_clients_resume_costs_the_same_whatever_the_log_holds(pod: Pod) -> None:
    """Each of 500 walked past everybody else's minutes of events: that took half a minute."""
    pod.deliver(20_000)
    assert offsets(await pod.find(1, "user:quiet")) == []
    pod.decoded = 0
    assert [offsets(await pod.find(1, "user:quiet")) for _ in range(100)] == [[]] * 100
    assert pod.decoded == 0


async def test_the_index_is_kept_up_to_date_while_nobody_resumes(pod: Pod) -> None:
    pod.tasks.append(asyncio.create_task(pod.backlog.run(lambda: None)))
    pod.deliver(2_000)
    await eventually(
        lambda: not pod.history.unindexed(BEGINNING), PATIENCE_SECONDS, "all is indexed"
    )
    assert pod.decoded == 2_000
    assert offsets(await pod.find(1, "user:quiet")) == []
    assert pod.decoded == 2_000


@pytest.mark.parametrize("per_turn", [1, 50, 1_000])
async def test_what_is_delivered_while_it_is_looked_for_is_found_too(
    pod: Pod, per_turn: int
) -> None:
    """Up to the very step in which it is answered, and also where more comes than a slice."""
    pod.deliver(5_000, "user:me")
    is_answered = False

    async def deliver_on() -> None:
        while not is_answered:
            pod.deliver(per_turn, "user:me" if per_turn < 1_000 else "user:other")
            await asyncio.sleep(0)

    delivering = asyncio.create_task(deliver_on())
    found = offsets(await pod.find(10, "user:me"))
    is_answered = True
    assert found == list(range(11, (5_000 if per_turn == 1_000 else pod.delivered) + 1))
    await delivering


async def test_a_storm_leaves_the_event_loop_to_others(pod: Pod) -> None:
    """Between any two resumes, and within the first, which has the index to bring up to date."""
    pod.deliver(30_000)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    turns_at: list[int] = []

    async def resume() -> None:
        await pod.find(1, "user:quiet")
        turns_at.append(turns)

    await asyncio.gather(*(resume() for _ in range(200)))
    await cancelled([counting])
    assert turns_at[0] > 30_000 * 2 // missed.SLICE - 10
    assert len(set(turns_at)) == 200


async def test_finding_has_a_deadline(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "_DEADLINE_SECONDS", 0.01)
    pod.history.start((100, 0))
    assert await pod.find(50, "user:me") is Outcome.TOO_MUCH
    assert offsets(await pod.find(100, "user:me")) == []


async def test_a_log_that_is_replaced_meanwhile_is_gone(pod: Pod) -> None:
    pod.deliver(5_000)
    finding = asyncio.create_task(pod.find(10, "user:me"))
    await asyncio.sleep(0)
    pod.history.start(BEGINNING)
    assert await finding is Outcome.GONE


async def test_memory_ends_at_the_window_also_when_nothing_new_comes() -> None:
    pod = Pod()
    pod.deliver(3, at_ms=1_000_000)
    margin = missed._MARGIN_SECONDS
    for now_seconds, is_held in [
        (0.0, True),
        (WINDOW_SECONDS, True),
        (WINDOW_SECONDS + margin - 1, True),
        (WINDOW_SECONDS + margin + 1, False),
    ]:
        pod.backlog.expire(now_seconds)
        assert (pod.history.floor < (1_000_000, 0)) is is_held
    await cancelled(pod.tasks)


async def test_the_age_of_an_entry_is_told_by_the_logs_own_time() -> None:
    """Whatever this machine's clock says: the IDs are Redis' time."""
    pod = Pod()
    pod.deliver(1, at_ms=1_000_000)
    for now_seconds in (50.0, 60.0):
        pod.backlog.expire(now_seconds)
    later = 1_000_000 + int((WINDOW_SECONDS + missed._MARGIN_SECONDS) * 1_000) + 1
    pod.deliver(1, at_ms=later)
    pod.backlog.expire(61.0)
    assert pod.history.floor == (1_000_000, 0)
    await cancelled(pod.tasks)


async def test_twenty_resumes_from_before_memory_take_little_of_it(redis: Redis) -> None:
    """Each of them read the log back for itself: 161 MB became 1,848."""
    entries, size = 8_000, 2_000
    async with redis.pipeline(transaction=False) as pipe:
        for n in range(1, entries + 1):
            room = "user:me" if n % 1_000 == 0 else "user:other"
            pipe.xadd(KEY, {"channel": room, "data": bytes(size)}, id=f"{n}-0")
        await pipe.execute()
    log = RedisLog(redis, redis, Metrics())
    log.delivered = (entries, 0)
    pod = Pod(log, max_bytes=2 << 20)
    pod.history.start((entries, 0))
    tracemalloc.start()
    try:
        found = await asyncio.gather(*(pod.find(n, "user:me") for n in range(1, 21)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    await cancelled(pod.tasks)
    assert [offsets(one) for one in found] == [list(range(1_000, 8_001, 1_000))] * 20
    assert peak < entries * size / 2
