"""What of the log goes along with a session that moves: where it is, what is proven, its rooms."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from constellation_ws.delivery.rooms import Member
from constellation_ws.log.ids import LogId
from constellation_ws.log.positions import DeliveryProof, RoomChange, Ticket
from constellation_ws.messages.events import Sid
from constellation_ws.recovery import moving as moving_module
from constellation_ws.recovery.missed import Found, ResumeOutcome
from constellation_ws.recovery.moving import LogPosition, MovedTicket, MovingSessions
from constellation_ws.recovery.record import SessionRecord
from constellation_ws.redis_io.link import RedisUnavailable

PLACE = LogPosition("epoch", (50, 3))


class Log:
    """A log that is where a test says."""

    def __init__(self) -> None:
        self.epoch: str | None = "epoch"
        self.delivered: LogId = (50, 3)
        self.reaches = True

    async def current(self) -> str:
        while self.epoch is None:
            await asyncio.Event().wait()
        return self.epoch

    async def reached(self, log_id: LogId) -> None:
        if not self.reaches:
            await asyncio.Event().wait()


class Store:
    """A store that has or has not a write on its way."""

    def __init__(self) -> None:
        self.is_writing = False
        self.withdrawn: list[Ticket] = []

    def withdraw(self, ticket: Ticket) -> bool:
        if not self.is_writing:
            self.withdrawn.append(ticket)
        return not self.is_writing


class Sessions:
    """Remembers which sessions began."""

    def __init__(self) -> None:
        self.begun: list[tuple[Member, Ticket]] = []

    def begin(self, member: Member, ticket: Ticket) -> None:
        member.hold(ticket)
        self.begun.append((member, ticket))


class MissedEvents:
    """Answers what a test says, and remembers what was asked."""

    def __init__(self) -> None:
        self.answer: Found | ResumeOutcome | Exception = found()
        self.asked: list[tuple[SessionRecord, str, object, object]] = []

    async def find(
        self, record: SessionRecord, user: str, offset: object, revoked: object
    ) -> Found | ResumeOutcome:
        self.asked.append((record, user, offset, revoked))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Pod:
    """One pod's sessions."""

    def __init__(self) -> None:
        self.log, self.store, self.sessions, self.missed_events = (
            Log(),
            Store(),
            Sessions(),
            MissedEvents(),
        )
        self.moving = MovingSessions(
            *cast("Any", (self.log, self.store, self.sessions, self.missed_events))
        )


def found(
    *changes: RoomChange, rooms: tuple[str, ...] = ("user:u",), unsaved: tuple[str, ...] = ()
) -> Found:
    return Found((50, 3), [], set(rooms), changes, set(unsaved), False)


def member(ticket: Ticket | None) -> Member:
    made = Member(Sid("sio"), "eio", cast("Any", None))
    made.rooms |= {"user:u", "chat:a"}
    made.hold(ticket)
    return made


def a_ticket(epoch: str = "epoch") -> Ticket:
    ticket = Ticket(
        "pid",
        "podA.1",
        "u",
        "sio",
        {"user:u", "chat:a"},
        epoch=epoch,
        begin=(10, 0),
        has_offsets=True,
        stale_offset=(90, 0),
    )
    ticket.moved("chat:a", (20, 0), is_in=True)
    ticket.pinged((30, 0))
    ticket.ponged()
    ticket.pinged((40, 0))
    ticket.attempts = 1
    return ticket


def over_the_wire(ticket: MovedTicket) -> MovedTicket:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(ticket), type=MovedTicket)


# Away


async def test_a_session_is_where_its_pod_has_delivered_to() -> None:
    pod = Pod()
    assert pod.moving.position_of(member(a_ticket())) == PLACE
    pod.log.delivered = (60, 0)
    assert pod.moving.position_of(member(a_ticket())) == LogPosition("epoch", (60, 0))


@pytest.mark.parametrize(
    ("ticket", "epoch"),
    [(None, "epoch"), (a_ticket("older"), "epoch"), (a_ticket(), None)],
    ids=["no session", "of another history", "the log's history is not known"],
)
async def test_a_session_that_has_no_place_in_the_log_stays(
    ticket: Ticket | None, epoch: str | None
) -> None:
    pod = Pod()
    pod.log.epoch = epoch
    one = member(ticket)
    assert pod.moving.position_of(one) is None
    assert pod.moving.release(one) is None
    assert one.ticket is ticket
    assert pod.store.withdrawn == []


async def test_a_session_that_is_being_written_stays() -> None:
    pod = Pod()
    ticket = a_ticket()
    one = member(ticket)
    pod.store.is_writing = True
    assert pod.moving.release(one) is None
    assert one.ticket is ticket


async def test_a_session_that_is_given_away_is_written_no_more_where_it_was() -> None:
    pod = Pod()
    ticket = a_ticket()
    one = member(ticket)
    moved = pod.moving.release(one)
    assert moved is not None
    assert one.ticket is None
    assert pod.store.withdrawn == [ticket]
    assert moved.position == PLACE


# Here


async def test_a_session_is_awaited_where_the_log_is_the_same_and_has_come_as_far() -> None:
    assert await Pod().moving.expects(PLACE)


async def test_a_session_of_another_history_of_the_log_is_not_awaited() -> None:
    pod = Pod()
    pod.log.epoch = "newer"
    assert not await pod.moving.expects(PLACE)


@pytest.mark.parametrize("is_reached", [True, False])
async def test_a_pod_that_is_behind_is_not_waited_for_long(
    is_reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_module, "_REACH_SECONDS", 0)
    pod = Pod()
    if is_reached:
        pod.log.epoch = None
    else:
        pod.log.reaches = False
    assert not await pod.moving.expects(PLACE)


async def test_what_came_since_its_place_is_looked_for_and_nothing_older() -> None:
    pod = Pod()
    ticket = Pod().moving.release(member(a_ticket()))
    assert ticket is not None
    assert await pod.moving.find(ticket, "sio", frozenset({"user:u", "chat:a"})) == found()
    ((record, user, offset, revoked),) = pod.missed_events.asked
    assert record.proof == DeliveryProof((50, 3), True, (50, 3), None)
    assert (record.horizon, record.rooms_at, record.changes) == ((50, 3), (50, 3), ())
    assert (record.sid, record.epoch, record.rooms) == ("sio", "epoch", {"user:u", "chat:a"})
    assert (user, offset, revoked) == ("u", None, frozenset())


@pytest.mark.parametrize(
    "answer",
    [
        ResumeOutcome.GONE,
        ResumeOutcome.TOO_MUCH,
        ResumeOutcome.OTHER_EPOCH,
        RedisUnavailable("away"),
    ],
)
async def test_a_session_that_cannot_go_on_is_said_to_be_lost(
    answer: ResumeOutcome | Exception,
) -> None:
    pod = Pod()
    pod.missed_events.answer = answer
    ticket = Pod().moving.release(member(a_ticket()))
    assert ticket is not None
    with capture_logs():
        assert await pod.moving.find(ticket, "sio", frozenset()) is None


async def test_all_that_was_known_of_a_session_goes_along() -> None:
    first, second = Pod(), Pod()
    before = a_ticket()
    moved = first.moving.release(member(before))
    assert moved is not None
    there = member(None)
    second.moving.go_on(there, over_the_wire(moved), found())
    ((one, after),) = second.sessions.begun
    assert one is there
    for name in Ticket.__slots__:
        if name != "rooms":
            assert getattr(after, name) == getattr(before, name), name
    assert after.rooms is there.rooms, "its rooms are the member's own"


async def test_rooms_that_changed_on_the_way_are_changes_of_the_session() -> None:
    first, second = Pod(), Pod()
    before = a_ticket()
    before.unsaved = None
    moved = first.moving.release(member(before))
    assert moved is not None
    entered = RoomChange((55, 0), "chat:b", True)
    second.moving.go_on(member(None), over_the_wire(moved), found(entered, unsaved=("chat:b",)))
    ((_, after),) = second.sessions.begun
    assert after.changes == (*before.changes, entered)
    assert after.unsaved == {"chat:b"}


async def test_a_ping_that_was_sent_by_one_pod_is_answered_at_the_other() -> None:
    first, second = Pod(), Pod()
    moved = first.moving.release(member(a_ticket()))
    assert moved is not None
    second.moving.go_on(member(None), over_the_wire(moved), found())
    ((_, after),) = second.sessions.begun
    assert after.proven == (30, 0)
    after.ponged()
    assert after.proven == (40, 0)


async def test_a_session_can_move_on() -> None:
    pods = [Pod() for _ in range(4)]
    one, before = member(a_ticket()), a_ticket()
    for pod, following in itertools.pairwise(pods):
        moved = pod.moving.release(one)
        assert moved is not None
        one = member(None)
        following.moving.go_on(one, over_the_wire(moved), found())
    assert one.ticket is not None
    assert one.ticket.proof == before.proof
    assert one.ticket.changes == before.changes
