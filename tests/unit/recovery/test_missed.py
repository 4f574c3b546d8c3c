"""Finding what a session missed: in its turn, up to the last event delivered, and within bounds.

What is read from the log is tried in test_readback, what is replayed of it in test_replay.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from constellation_ws.delivery.routes import RoutedEvent
from constellation_ws.log.ids import BEGINNING, LogId, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.logs import Logs
from constellation_ws.log.places import Place
from constellation_ws.log.positions import DeliveryProof, RoomChange
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.state import Look
from constellation_ws.messages.commands import Leave
from constellation_ws.messages.events import EventName, Fields, Room, UserId
from constellation_ws.recovery import history, missed, readback
from constellation_ws.recovery.history import History
from constellation_ws.recovery.missed import Found, MissedEvents, ResumeOutcome
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.recovery.replay import Meaning, ReplayLimits
from constellation_ws.redis_io.names import DEFAULT
from tests.pod_parts import Follower, make_log
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

EPOCH, NONE = "epoch", frozenset[str]()
LIMITS = ReplayLimits(10_000, 1 << 24)
WINDOW_SECONDS = 100.0


class Log:
    """What `MissedEvents` needs of the log where all is in memory; reading it never ends."""

    def __init__(self) -> None:
        self.reader = self.state = self
        self.epoch: str | None = EPOCH
        self.delivered: LogId = BEGINNING

    async def current(self) -> str:
        while self.epoch is None:  # noqa: ASYNC110 - the test sets it
            await asyncio.sleep(0)
        return self.epoch

    async def reached(self, log_id: LogId) -> None:
        while self.delivered < log_id:  # noqa: ASYNC110 - the test sets it
            await asyncio.sleep(0)

    async def look(self, delivered: LogId) -> Look:
        epoch = self.epoch or EPOCH
        return Look(epoch, BEGINNING, "", BEGINNING, delivered, True, "", 0, "", "")

    async def trimmed(self, up_to: LogId) -> LogId:
        await asyncio.Event().wait()
        raise AssertionError("it never ends")


class Pod:
    """A missed_events and its memory."""

    def __init__(self, log: RedisLog | None = None, max_bytes: int = 1 << 26) -> None:
        self.decoded = 0
        self.log = cast("Any", Log() if log is None else log)
        self.history = History(self.log, max_bytes, self._read, WINDOW_SECONDS)
        self.recent = self.history.recent
        self.recent.start(BEGINNING)
        self.missed_events = MissedEvents(Logs([self.log]), [self.history], LIMITS)
        self.delivered = 0
        parts = (self.history.read_back(), self.history.confirm())
        self.tasks = [asyncio.create_task(part) for part in parts]

    def _read(self, channel: bytes, payload: bytes) -> Meaning:
        self.decoded += 1
        return RoutedEvent(EventName("e"), Fields(), [channel.decode()], (), ())

    def deliver(self, count: int, room: str = "user:other", at_ms: int | None = None) -> None:
        """Deliver events for the members of a room."""
        batch: list[Logged] = []
        for _ in range(count):
            self.delivered += 1
            log_id = (at_ms or self.delivered, 0)
            batch.append((format_id(log_id), room.encode(), b"{}"))
        self.recent.append(batch)
        self.log.delivered = (at_ms or self.delivered, 0)

    async def find(self, start: int, *rooms: str) -> Found | ResumeOutcome:
        return await self.resume(record(start, *rooms))

    async def resume(
        self, session: SessionRecord, offset: object = None, revoked: frozenset[str] | None = NONE
    ) -> Found | ResumeOutcome:
        return await self.missed_events.find(session, UserId("u"), offset, revoked)


def record(start: int, *rooms: str, has_offsets: bool = True, **others: Any) -> SessionRecord:
    at = (start, 0)
    proof = DeliveryProof(at, has_offsets, at, others.pop("transport_closed_at", None))
    known = {"epoch": EPOCH, "horizon": BEGINNING, "rooms_at": at, "changes": (), **others}
    return SessionRecord(sid="sid", proof=proof, attempts=0, rooms=frozenset(rooms), **known)


def offsets(found: Found | ResumeOutcome) -> list[int]:
    assert isinstance(found, Found)
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
    pod.tasks.append(asyncio.create_task(pod.history.run(lambda: None)))
    pod.deliver(2_000)
    await eventually(
        lambda: not pod.recent.unindexed(BEGINNING), PATIENCE_SECONDS, "all is indexed"
    )
    assert pod.decoded == 2_000
    assert offsets(await pod.find(1, "user:quiet")) == []
    assert pod.decoded == 2_000


async def test_in_a_flood_the_index_waits_for_somebody_who_asks(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of it is forgotten again before anybody does."""
    monkeypatch.setattr(history, "_TICK_SECONDS", 0)

    async def flood() -> None:
        for _ in range(20):
            pod.deliver(history._FLOOD_PER_TICK + 1)
            await asyncio.sleep(0)
        assert pod.decoded == 0

    flooding = asyncio.create_task(flood())
    pod.tasks.append(asyncio.create_task(pod.history.run(lambda: None)))
    await flooding
    await eventually(
        lambda: not pod.recent.unindexed(BEGINNING), PATIENCE_SECONDS, "all is indexed"
    )


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
    assert turns_at[0] > 30_000 * 2 // readback.WORK_UNIT - 10
    assert len(set(turns_at)) == 200


async def test_finding_has_a_deadline(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "_DEADLINE_SECONDS", 0.01)
    pod.recent.start((100, 0))
    pod.log.delivered = (100, 0)
    assert await pod.find(50, "user:me") is ResumeOutcome.TOO_MUCH
    assert offsets(await pod.find(100, "user:me")) == []


async def test_a_log_that_is_replaced_meanwhile_is_gone(pod: Pod) -> None:
    pod.deliver(5_000)
    finding = asyncio.create_task(pod.find(10, "user:me"))
    while not pod.decoded:  # noqa: ASYNC110 - a turn of the loop is all that it takes
        await asyncio.sleep(0)
    pod.recent.start(BEGINNING)
    assert await finding is ResumeOutcome.GONE


async def test_memory_ends_at_the_window_also_when_nothing_new_comes() -> None:
    pod = Pod()
    pod.deliver(3, at_ms=1_000_000)
    margin = history._MARGIN_SECONDS
    for now_seconds, is_held in [
        (0.0, True),
        (WINDOW_SECONDS, True),
        (WINDOW_SECONDS + margin - 1, True),
        (WINDOW_SECONDS + margin + 1, False),
    ]:
        pod.history.expire(now_seconds)
        assert (pod.recent.lower_bound < (1_000_000, 0)) is is_held
    await cancelled(pod.tasks)


async def test_the_age_of_an_entry_is_told_by_the_logs_own_time() -> None:
    """Whatever this machine's clock says: the IDs are Redis' time."""
    pod = Pod()
    pod.deliver(1, at_ms=1_000_000)
    for now_seconds in (50.0, 60.0):
        pod.history.expire(now_seconds)
    later = 1_000_000 + int((WINDOW_SECONDS + history._MARGIN_SECONDS) * 1_000) + 1
    pod.deliver(1, at_ms=later)
    pod.history.expire(61.0)
    assert pod.recent.lower_bound == (1_000_000, 0)
    await cancelled(pod.tasks)


async def test_twenty_resumes_from_before_memory_take_little_of_it(redis: Redis) -> None:
    """Each of them read the log back for itself: 161 MB became 1,848."""
    entries, size = 8_000, 2_000
    log = make_log(redis)
    following = asyncio.create_task(log.run(Follower()))
    await eventually(lambda: log.epoch, PATIENCE_SECONDS, "it is followed")
    async with redis.pipeline(transaction=False) as pipe:
        for n in range(1, entries + 1):
            room = "user:me" if n % 1_000 == 0 else "user:other"
            pipe.xadd(DEFAULT.log, {"channel": room, "data": bytes(size)}, id=f"{n}-0")
        await pipe.execute()
    await eventually(
        lambda: log.delivered == (entries, 0), PATIENCE_SECONDS, "all of it is delivered"
    )
    pod = Pod(log, max_bytes=2 << 20)
    pod.recent.start((entries, 0))
    tracemalloc.start()
    try:
        sessions = [record(n, "user:me", epoch=log.epoch) for n in range(1, 21)]
        found = await asyncio.gather(*(pod.resume(one) for one in sessions))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    await cancelled([*pod.tasks, following])
    assert [offsets(one) for one in found] == [list(range(1_000, 8_001, 1_000))] * 20
    assert peak < entries * size / 2


async def test_a_session_of_another_epoch_is_not_recovered(pod: Pod) -> None:
    pod.deliver(5, "user:me")
    assert await pod.resume(record(1, "user:me", epoch="older")) is ResumeOutcome.OTHER_EPOCH
    assert await pod.resume(record(1, "user:me", epoch="")) is ResumeOutcome.OTHER_EPOCH


async def test_an_epoch_that_ends_while_it_is_looked_for_is_another_one(pod: Pod) -> None:
    pod.deliver(5_000)
    finding = asyncio.create_task(pod.find(10, "user:me"))
    await asyncio.sleep(0)
    pod.log.epoch = None
    assert await finding is ResumeOutcome.OTHER_EPOCH


@pytest.mark.parametrize("is_late", ["log", "epoch"])
async def test_a_pod_that_is_behind_catches_up_before_it_answers(pod: Pod, is_late: str) -> None:
    """Its rooms follow the log up to an entry that this pod has not delivered yet."""
    pod.deliver(5, "chat:a")
    if is_late == "epoch":
        pod.log.epoch = None
    changes = (RoomChange((7, 0), "chat:a", False),)
    session = record(5, "chat:a", rooms_at=(7, 0), changes=changes)
    finding = asyncio.create_task(pod.resume(session))
    await asyncio.sleep(0)
    assert not finding.done()
    pod.log.epoch = EPOCH
    pod.deliver(3, "chat:a")
    found = await finding
    assert offsets(found) == [6, 7]
    assert isinstance(found, Found)
    assert found.rooms == {"user:u"}


async def test_an_offset_that_is_never_reached_is_gone(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "_REACH_SECONDS", 0.05)
    pod.deliver(5, "user:me")
    assert await pod.resume(record(1, "user:me"), "99-0") is ResumeOutcome.GONE


async def test_who_counts_is_replayed_from_its_own_word_and_from_nothing_later(pod: Pod) -> None:
    pod.deliver(9, "user:me")
    session = record(2, "user:me", transport_closed_at=(9, 0))
    assert offsets(await pod.resume(session, "5-0")) == [6, 7, 8, 9]
    assert offsets(await pod.resume(session, "1-0")) == list(range(3, 10)), "not its to read"
    for nothing in (None, "", "x", 5, ["5-0"], "5-0-0"):
        assert offsets(await pod.resume(session, nothing)) == list(range(3, 10))


async def test_an_event_that_may_have_arrived_before_its_offset_did_is_not_replayed(
    pod: Pod,
) -> None:
    pod.deliver(2, "user:u")
    assert await pod.resume(record(0), "1-0?") is ResumeOutcome.UNPROVEN
    assert offsets(await pod.resume(record(0), "1-0")) == [2]


async def test_what_may_or_may_not_have_arrived_is_never_recovered(pod: Pod) -> None:
    pod.deliver(5, "user:me")
    pod.deliver(4, "user:other")
    found = {
        transport_closed_at: await pod.resume(
            record(2, "user:me", has_offsets=False, transport_closed_at=transport_closed_at)
        )
        for transport_closed_at in (None, (9, 0), (3, 0), (2, 0))
    }
    assert [found[at] for at in (None, (9, 0), (3, 0))] == [ResumeOutcome.UNPROVEN] * 3
    assert offsets(found[2, 0]) == [3, 4, 5], "it answered our Close: nothing later was sent"
    assert offsets(await pod.resume(record(5, "user:me", has_offsets=False))) == []


async def test_what_is_said_after_the_transport_was_lost_did_not_arrive(pod: Pod) -> None:
    pod.deliver(3, "user:other")
    pod.deliver(3, "user:me")
    session = record(1, "user:me", has_offsets=False, transport_closed_at=(3, 0))
    assert offsets(await pod.resume(session)) == [4, 5, 6]


async def test_what_was_forgotten_of_its_rooms_cannot_be_resumed_from(pod: Pod) -> None:
    pod.deliver(9, "user:me")
    assert await pod.resume(record(2, "user:me", horizon=(4, 0)), "3-0") is ResumeOutcome.GONE
    assert offsets(await pod.resume(record(2, "user:me", horizon=(4, 0)), "4-0")) == [5, 6, 7, 8, 9]


async def test_rooms_that_were_lost_are_neither_entered_nor_read(pod: Pod) -> None:
    pod.deliver(3, "chat:a")
    pod.deliver(3, "chat:b")
    found = await pod.resume(record(1, "chat:a", "chat:b"), revoked=frozenset({"chat:a"}))
    assert offsets(found) == [4, 5, 6]
    assert isinstance(found, Found)
    assert found.rooms == {"user:u", "chat:b"}
    assert await pod.resume(record(1), revoked=None) is ResumeOutcome.ACCESS_UNAVAILABLE


async def test_a_resume_without_progress_is_told_from_one_that_got_further(pod: Pod) -> None:
    pod.deliver(5, "user:me")
    for offset, is_repeated in ((None, True), ("2-0", True), ("3-0", False), ("5-0", False)):
        found = await pod.resume(record(2, "user:me"), offset)
        assert isinstance(found, Found)
        assert found.is_repeated is is_repeated


# Several partitions


class Three:
    """A log of three partitions in memory, and what finds the events that sessions missed there."""

    def __init__(self) -> None:
        self.pods = [Pod() for _ in range(3)]
        self.logs = Logs([pod.log for pod in self.pods])
        histories = [pod.history for pod in self.pods]
        self.partition_of = dict[str, int]()
        limits = ReplayLimits(4, 1 << 20)
        find = self.partition_of.__getitem__
        self.missed_events = MissedEvents(self.logs, histories, limits, find)

    async def find(self, session: SessionRecord, offset: object = None) -> Found | ResumeOutcome:
        return await self.missed_events.find(session, UserId("u"), offset, NONE)


def session(*rooms: str, at: Place = (1, 0, 2, 0, 0, 0), **others: Any) -> SessionRecord:
    known = {"epoch": ",".join([EPOCH] * 3), "horizon": (0,) * 6, "rooms_at": at, "changes": ()}
    proof = DeliveryProof(at, others.pop("has_offsets", True), at, others.pop("closed_at", None))
    return SessionRecord(
        sid="sid", proof=proof, attempts=0, rooms=frozenset(rooms), **(known | others)
    )


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    three = Three()
    async with asyncio.timeout(PATIENCE_SECONDS):
        yield three
    await cancelled([task for pod in three.pods for task in pod.tasks])


async def test_what_was_missed_in_each_partition_is_found_with_offsets_that_lead_on(
    three: Three,
) -> None:
    one, two, _ = three.pods
    one.deliver(1, "room")
    one.deliver(1)
    one.deliver(1, "room")
    two.deliver(4, "room")
    found = await three.find(session("room"))
    assert isinstance(found, Found)
    offsets = [frame.offset for frame in found.frames]
    assert offsets == [b"3-0,2-0,0-0", b"3-0,0-0,3-0~1", b"4-0,0-0,3-0~1"]
    assert found.after == (1, 0, 2, 0, 0, 0)
    for seen, offset in enumerate(offsets, 1):
        again = await three.find(session("room"), offset.decode())
        assert isinstance(again, Found)
        assert [frame.offset for frame in again.frames] == offsets[seen:]


async def test_what_is_delivered_meanwhile_in_an_earlier_partition_is_found_too(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = three.pods
    one.deliver(1, "room")
    two.deliver(3, "room")
    before = two.history.is_through

    async def is_through(walk: Any) -> bool:
        monkeypatch.undo()
        is_done = await before(walk)
        one.deliver(1, "room")
        return is_done

    monkeypatch.setattr(two.history, "is_through", is_through)
    found = await three.find(session("room"))
    assert isinstance(found, Found)
    assert [frame.offset for frame in found.frames] == [b"2-0,2-0,0-0", b"3-0,0-0,2-0~1"]


async def test_the_limits_are_for_all_partitions_together(three: Three) -> None:
    one, two, _ = three.pods
    one.deliver(3, "room")
    two.deliver(4, "room")
    assert isinstance(await three.find(session("room")), Found)
    two.deliver(1, "room")
    assert await three.find(session("room")) is ResumeOutcome.TOO_MUCH


async def test_a_room_that_was_left_brings_nothing_of_any_partition_from_then_on(
    three: Three,
) -> None:
    one, two, _ = three.pods
    one.deliver(4, "room")
    two.deliver(6, "room")
    left = RoomChange((3, 0, 5, 0, 0, 0), "room", is_in=False)
    at = (4, 0, 6, 0, 0, 0)
    found = await three.find(session("room", at=(2, 0, 4, 0, 0, 0), rooms_at=at, changes=(left,)))
    assert isinstance(found, Found)
    assert [frame.offset for frame in found.frames] == [b"3-0,4-0,0-0", b"5-0,0-0,4-0~1"]
    assert "room" not in found.rooms
    assert found.changes == (left,)


async def test_a_client_without_offsets_is_not_recovered_where_one_partition_is_uncertain(
    three: Three,
) -> None:
    _, two, _ = three.pods
    two.deliver(3, "room")
    seen = session("room", has_offsets=False, closed_at=(1, 0, 2, 0, 0, 0))
    three.pods[0].deliver(1)
    assert isinstance(await three.find(seen), Found)
    unsure = session("room", has_offsets=False, closed_at=(1, 0, 3, 0, 0, 0))
    assert await three.find(unsure) is ResumeOutcome.UNPROVEN


async def test_one_new_epoch_of_many_is_another_one(three: Three) -> None:
    three.pods[2].log.epoch = "next"
    three.pods[0].deliver(1)
    three.pods[1].deliver(2)
    assert await three.find(session("room")) is ResumeOutcome.OTHER_EPOCH


async def test_a_session_of_fewer_partitions_is_of_another_epoch(three: Three) -> None:
    assert await three.find(record(1, "room")) is ResumeOutcome.OTHER_EPOCH


async def test_nobody_is_resumed_from_before_what_is_known_of_his_rooms(three: Three) -> None:
    three.pods[0].deliver(1)
    three.pods[1].deliver(2)
    session_ = session("room", horizon=(0, 0, 3, 0, 0, 0))
    assert await three.find(session_) is ResumeOutcome.GONE


async def test_a_room_that_was_changed_where_its_events_are_not_cannot_be_resumed(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Leave(Room("room"), Room("room"))
    for pod in three.pods:
        monkeypatch.setattr(pod.history._entries, "_read", lambda *_: leave)
    three.pods[0].deliver(1)
    three.pods[1].deliver(3, "room")
    three.partition_of["room"] = 1
    found = await three.find(session("room"))
    assert isinstance(found, Found)
    assert found.rooms == {"user:u"}
    assert found.changes == (RoomChange((1, 0, 3, 0, 0, 0), "room", is_in=False),)
    three.partition_of["room"] = 2
    assert await three.find(session("room")) is ResumeOutcome.DIVIDED
