"""A session that arrives: with all that came meanwhile, in order, or not at all."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from constellation_ws.auth.identity import Identity
from constellation_ws.chats.members import MovedMember
from constellation_ws.engine.session import MovedSession
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import Room, user_room
from constellation_ws.messages.frames import Frame
from constellation_ws.messages.namespaces import DEFAULT_SCOPE
from constellation_ws.moving.arrivals import Arrivals
from constellation_ws.moving.client import MovedClient, MovedMembership, Offer, encode
from constellation_ws.observability.no_tracing import NO_TRACING
from constellation_ws.recovery.none import NoMoving
from constellation_ws.websocket import text_frame
from tests.peer_lines import Line
from tests.unit.engine.world import LIMITS
from tests.unit.moving.pod import ORDERS, PLACE, USER, Pod, a_ticket, found
from tests.websocket_frames import PING, TEXT, client_frame

EIO_SID, SID = "podB-eio", "podB-sio"


def client(
    *,
    is_member: bool = True,
    has_offsets: bool = False,
    awaits_pong: bool = False,
    elsewhere: tuple[str, ...] = (),
) -> bytes:
    memberships = []
    if is_member:
        member = MovedMember(
            SID, Identity(USER), has_offsets, [user_room(USER)], 1.0, 0, DEFAULT_SCOPE
        )
        memberships.append(MovedMembership(member, a_ticket()))
    for sid in elsewhere:
        member = MovedMember(sid, Identity(USER), has_offsets, [], 1.0, 0, ORDERS)
        memberships.append(MovedMembership(member, a_ticket()))
    session = MovedSession(EIO_SID, "EIO=4", "10.0.0.9", [(b"a", b"b")], 3, awaits_pong, 60.0)
    return encode(MovedClient(session, memberships))


class There:
    """A pod at which sessions arrive, and the transport of one client."""

    def __init__(self, moving: Any = None) -> None:
        self.pod = Pod()
        self.line = Line()
        self.line.pause_reading()
        self.line.protocol = Leaving()
        self.arrivals = Arrivals(
            self.pod.engine,
            self.pod.admission,
            self.pod.members,
            moving or self.pod.log,
            self.pod.metrics,
            self.pod.spawn,
            NO_TRACING,
        )

    async def expects(self, offer: Offer) -> bool:
        answers: list[bool] = []
        self.arrivals.expect(encode(offer), answers.append)
        assert answers == [], "said soon, and not at once"
        await self.pod.settled()
        (answer,) = answers
        return answer

    async def take(self, session: bytes, early: bytes = b"", expected: int = 0) -> None:
        self.arrivals.take(session, expected, self.line, early)
        await self.pod.settled()


class Leaving:
    """Who has the transport until the session has it."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is known of it here."""


# Offers


async def test_a_session_is_awaited_where_the_log_has_come_as_far() -> None:
    there = There()
    assert await there.expects(Offer(PLACE))
    there.pod.log.is_expected = False
    assert not await there.expects(Offer(PLACE))
    assert await there.expects(Offer(None)), "what is in no namespace has no place in the log"


async def test_without_a_log_only_a_session_without_a_namespace_is_awaited() -> None:
    there = There(NoMoving())
    assert not await there.expects(Offer(PLACE))
    assert await there.expects(Offer(None))


async def test_a_pod_that_is_about_to_stop_awaits_nobody() -> None:
    there = There()
    there.pod.admission.close_to_new()
    assert not await there.expects(Offer(None))
    assert not await there.expects(Offer(PLACE))


@pytest.mark.parametrize("offer", [b"", b"\xff", msgspec.msgpack.encode((7,))])
async def test_an_offer_that_makes_no_sense_is_the_links_to_refuse(offer: bytes) -> None:
    """In a task of its own it would end the process."""
    there = There()
    with pytest.raises(msgspec.MsgspecError):
        there.arrivals.expect(offer, lambda is_taken: None)
    with pytest.raises(msgspec.MsgspecError):
        there.arrivals.take(offer, 0, there.line, b"")
    assert there.pod.tasks == []


# Arriving


async def test_a_session_goes_on_as_it_was() -> None:
    there = There()
    await there.take(client())
    session = there.pod.engine.sockets[EIO_SID]
    assert (session.packets_received, session.awaits_pong, session.upgraded) == (3, False, True)
    (member,) = there.pod.members.rooms
    assert (member.sid, member.eio_sid, member.user) == (SID, EIO_SID, USER)
    assert there.pod.log.went_on == [SID]
    handshake = there.pod.server.environ[EIO_SID]
    assert (handshake.address, handshake.headers) == ("10.0.0.9", ((b"a", b"b"),))
    assert time.monotonic() - session.opened_at >= 60, "it is as old as it was there"
    assert there.line.is_read
    assert there.pod.moved("in", "moved") == 1
    session.send_message("2")
    assert there.line.taken() == text_frame(b"42")


@pytest.mark.parametrize("with_offsets", [False, True])
async def test_what_came_meanwhile_is_written_before_all_that_comes(with_offsets: bool) -> None:
    there = There()
    frames = [Frame(b'42/chats,["e",%d]' % number, (), b"8-%d" % number) for number in range(3)]
    there.pod.log.found = found(*frames)
    await there.take(client(has_offsets=with_offsets))
    there.pod.engine.sockets[EIO_SID].send_message("live")
    expected = [frame.websocket(with_offsets) for frame in frames]
    assert there.line.taken() == b"".join(expected) + text_frame(b"4live")


async def test_a_session_is_in_the_rooms_that_were_found_and_not_in_those_it_came_with() -> None:
    there = There()
    there.pod.log.found = found(rooms=["chat:new"])
    await there.take(client())
    (member,) = there.pod.members.rooms
    assert member.rooms == {"user:u", "chat:new"}


async def test_bytes_that_came_with_it_are_parsed_before_those_that_follow() -> None:
    there = There()
    heard = client_frame(PING, b"1") + client_frame(PING, b"2")
    await there.take(client(), early=heard[:9])
    there.line.protocol.data_received(heard[9:])
    assert there.line.taken() == b"\x8a\x011\x8a\x012"


async def test_a_session_without_a_namespace_has_its_time_to_connect_again() -> None:
    there = There()
    await there.take(client(is_member=False))
    session = there.pod.engine.sockets[EIO_SID]
    assert session in there.pod.engine._unused
    there.line.protocol.data_received(client_frame(TEXT, b"40/chats"))
    await there.pod.settled()
    assert there.line.taken().startswith(text_frame(b"40/chats,x" * 3)[:1])
    assert session not in there.pod.engine._unused


@pytest.mark.parametrize("awaits_pong", [False, True])
async def test_a_client_that_is_silent_after_its_move_is_closed_in_its_time(
    awaits_pong: bool,
) -> None:
    there = There()
    await there.take(client(awaits_pong=awaits_pong))
    seconds = LIMITS.ping_timeout_seconds
    seconds += 0 if awaits_pong else LIMITS.ping_interval_seconds
    step = there.pod.engine.pings.step_seconds
    for _ in range(int(seconds / step) + 3):
        for _ in there.pod.engine.advance(0.0):
            pass
    await there.pod.settled()
    assert there.pod.engine.sockets == {}
    assert there.pod.lost == [(SID, "ping timeout")]


async def test_a_session_whose_events_cannot_be_found_is_hung_up_on() -> None:
    there = There()
    there.pod.log.found = None
    await there.take(client(), early=client_frame(PING))
    assert there.line.is_aborted
    assert there.pod.engine.sockets == {}
    assert len(there.pod.members.rooms) == 0
    assert there.pod.moved("in", "failed") == 1


@pytest.mark.parametrize("has_reported", [False, True])
async def test_a_client_that_left_on_the_way_is_lost_as_any_other(has_reported: bool) -> None:
    """Its session goes on here for a moment: what it was is kept, so that it can be resumed."""
    there = There()
    there.pod.log.may_find.clear()
    await there.take(client())
    if has_reported:
        there.line.lose()
    else:
        there.line.close()
    there.pod.log.may_find.set()
    await there.pod.settled()
    if not has_reported:
        there.line.lose()
        await there.pod.settled()
    assert there.pod.log.went_on == [SID]
    assert there.pod.lost == [(SID, "transport close")]
    assert there.pod.engine.sockets == {}
    assert len(there.pod.members.rooms) == 0


async def test_a_client_for_which_too_much_waits_is_watched_from_the_start() -> None:
    """Its transport has said so, to whoever had it before, and says it once."""
    there = There()
    there.line.unsent_bytes = LIMITS.max_write_buffer_bytes + 1
    await there.take(client())
    session = there.pod.engine.sockets[EIO_SID]
    assert session.strain is not None
    there.line.unsent_bytes = 0
    there.line.protocol.resume_writing()
    assert session.strain is None


async def test_a_client_for_which_far_too_much_waits_is_dropped_at_once() -> None:
    there = There()
    there.line.unsent_bytes = LIMITS.max_burst_bytes + 1
    await there.take(client())
    assert there.line.is_aborted
    assert there.pod.engine.sockets == {}


# Disconnected while it was between two pods


@pytest.mark.parametrize("who", [user_room(USER), Room(SID)])
async def test_who_is_disconnected_between_two_pods_is_disconnected_at_the_second(
    who: Room,
) -> None:
    there = There()
    expected = there.arrivals.expect(encode(Offer(PLACE)), _ignore)
    there.arrivals.note_disconnect(Selection((who,), ()))
    await there.take(client(), expected=expected)
    assert there.pod.members.disconnected == [SID]


async def test_who_was_disconnected_before_the_offer_or_is_somebody_else_stays() -> None:
    there = There()
    there.arrivals.note_disconnect(Selection((user_room(USER),), ()))
    expected = there.arrivals.expect(encode(Offer(PLACE)), _ignore)
    there.arrivals.note_disconnect(Selection((Room("user:other"),), ()))
    await there.take(client(), expected=expected)
    assert there.pod.members.disconnected == []


async def test_disconnects_are_retained_as_far_back_as_a_move_takes() -> None:
    there = There()
    expected = there.arrivals.expect(encode(Offer(PLACE)), _ignore)
    there.arrivals.note_disconnect(Selection((user_room(USER),), ()))
    for number in range(999):
        there.arrivals.note_disconnect(Selection((Room(f"user:{number}"),), ()))
    await there.take(client(), expected=expected)
    assert there.pod.members.disconnected == [SID]


def _ignore(is_taken: bool) -> None:
    """The answer is no matter here."""


async def test_a_session_goes_on_in_each_of_its_namespaces() -> None:
    there = There()
    there.pod.members.served.add(ORDERS)
    await there.take(client(elsewhere=("other",)))
    session = there.pod.engine.sockets[EIO_SID]
    members = there.pod.members.of_session(session)
    assert [(one.scope, one.sid) for one in members] == [(DEFAULT_SCOPE, SID), (ORDERS, "other")]
    assert there.pod.log.went_on == [SID, "other"]
    assert there.line.is_read


async def test_a_session_with_a_namespace_that_is_not_served_here_begins_again() -> None:
    there = There()
    await there.take(client(elsewhere=("other",)))
    assert there.line.is_closing()
    assert there.pod.moved("in", "failed") == 1
    assert there.pod.engine.sockets == {}
    assert len(there.pod.members.rooms) == 0
