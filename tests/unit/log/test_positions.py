"""Positions: what raises them, and from where a session is resumed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.ids import LogId
from constellation_ws.log.positions import (
    MAX_CHANGES,
    DeliveryProof,
    RoomChange,
    Start,
    Ticket,
    resume_from,
)

IDS = st.tuples(st.integers(0, 20), st.integers(0, 1))


def at(number: int) -> LogId:
    return number, 0


def ticket(begin: int = 10, *, has_offsets: bool = False) -> Ticket:
    return Ticket(
        "p", "a.1", "u", "s", {"user:u"}, epoch="e", begin=at(begin), has_offsets=has_offsets
    )


@pytest.mark.parametrize(
    ("proof", "offset", "start"),
    [
        (DeliveryProof(at(10), True, at(30), at(40)), at(20), Start(at(20), at(20))),
        (DeliveryProof(at(10), True, at(30), at(40)), at(35), Start(at(35), at(35))),
        (DeliveryProof(at(10), True, at(30), None), at(5), Start(at(10), at(10))),
        (DeliveryProof(at(10), True, at(30), None), None, Start(at(10), at(10))),
        (DeliveryProof(at(10), True, at(10), None, at(90)), at(90), Start(at(10), at(10))),
        (DeliveryProof(at(10), True, at(10), None, at(90)), at(20), Start(at(20), at(20))),
        (DeliveryProof(at(10), False, at(30), None), None, Start(at(30), None)),
        (DeliveryProof(at(10), False, at(30), at(40)), None, Start(at(30), at(40))),
        (DeliveryProof(at(10), False, at(30), at(30)), None, Start(at(30), at(30))),
        (DeliveryProof(at(10), False, at(30), at(40)), at(35), Start(at(30), at(40))),
    ],
    ids=[
        "the client's word wins downwards",
        "and upwards",
        "but nothing before the session is its",
        "a client that counts and has seen nothing",
        "and one that has only seen another log",
        "which says nothing about an offset of this one",
        "a pod that died",
        "a transport that was lost",
        "a close that was answered",
        "a string that a client took for an offset",
    ],
)
def test_from_where_a_session_is_resumed(
    proof: DeliveryProof, offset: LogId | None, start: Start
) -> None:
    assert resume_from(proof, offset) == start


def test_a_pong_proves_what_was_written_before_its_ping_and_no_more() -> None:
    one = ticket()
    one.ponged()
    assert one.proven == at(10)
    one.pinged(at(20))
    assert one.proven == at(10)
    one.ponged()
    assert one.proven == at(20)


def test_a_close_of_ours_proves_nothing_until_it_is_answered() -> None:
    one = ticket()
    one.close_sent(at(20))
    one.transport_closed(at(25))
    assert (one.proven, one.transport_closed_at) == (at(10), at(20)), (
        "nothing was sent after the close"
    )
    one.close_acknowledged()
    assert (one.proven, one.transport_closed_at) == (at(20), at(20))


def test_an_answer_to_a_close_that_was_never_sent_proves_nothing() -> None:
    one = ticket()
    one.transport_closed(at(20))
    one.close_sent(at(30))
    one.close_acknowledged()
    assert (one.proven, one.transport_closed_at) == (at(10), at(20))


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["write", "ping", "pong", "close", "answer", "lose"]), st.booleans()),
    max_size=30,
)


@given(HAPPENINGS, st.booleans())
def test_nothing_that_has_not_arrived_is_ever_taken_for_proven(
    happenings: list[tuple[str, bool]], has_offsets: bool
) -> None:
    """A client behind a wire that may stop at any moment, with a kernel that accepts all."""
    one, sent, arrived, ping_arrived, has_stalled = (
        ticket(0, has_offsets=has_offsets),
        0,
        0,
        0,
        False,
    )
    close_sent: int | None = None
    pinged = 0
    is_lost = False
    for what, stalls in happenings:
        has_stalled = has_stalled or stalls
        match what:
            case "write" if close_sent is None and not is_lost:
                sent += 1
                arrived = arrived if has_stalled else sent
            case "ping" if close_sent is None and not is_lost:
                pinged = sent
                one.pinged(at(sent))
                ping_arrived = ping_arrived if has_stalled else sent
            case "pong" if not is_lost and pinged == ping_arrived:
                one.ponged()
            case "close" if close_sent is None and not is_lost:
                close_sent = sent
                one.close_sent(at(sent))
            case "answer" if close_sent is not None and arrived >= close_sent and not has_stalled:
                one.close_acknowledged()
            case "lose" if not is_lost:
                is_lost = True
                one.transport_closed(at(sent))
    assert one.proven <= at(arrived)
    start = resume_from(one.proof, at(arrived) if arrived else None)
    missing = range(arrived + 1, sent + 1)
    assert all(at(number) > start.after for number in missing), "what is missing is replayed"
    if one.has_offsets:
        return
    doubled = [at(number) for number in range(1, arrived + 1) if at(number) > start.after]
    until = start.uncertain_until
    assert all(until is None or number <= until for number in doubled), "or not recovered"


def test_changes_of_rooms_are_kept_in_order_and_wait_to_be_written() -> None:
    one = ticket()
    one.moved("chat:a", at(20), is_in=True)
    one.moved("chat:a", at(30), is_in=False)
    assert one.changes == (RoomChange(at(20), "chat:a", True), RoomChange(at(30), "chat:a", False))
    assert one.unsaved == {"chat:a"}


def test_what_is_older_than_the_window_is_forgotten_and_nobody_resumes_from_there() -> None:
    one = ticket()
    for number in (20, 30, 40):
        one.moved(f"chat:{number}", at(number), is_in=True)
    one.unsaved = None
    one.discard_before(at(35))
    assert [change.at for change in one.changes] == [at(40)]
    assert (one.horizon, one.unsaved) == (at(35), {"chat:20", "chat:30"})
    one.discard_before(at(39))
    assert one.horizon == at(35), "nothing was forgotten"


def test_a_change_at_the_new_horizon_is_kept() -> None:
    one = ticket()
    one.moved("chat:a", at(20), is_in=True)
    one.moved("chat:b", at(30), is_in=True)
    one.unsaved = {"chat:a"}
    one.discard_before(at(20))
    assert (len(one.changes), one.horizon, one.unsaved) == (2, at(10), {"chat:a"})
    one.discard_before(at(30))
    assert [change.at for change in one.changes] == [at(30)]
    assert one.unsaved == {"chat:a"}, "b did not change before it, and a waits already"


def test_as_many_changes_as_permitted_are_kept_and_half_of_one_more() -> None:
    one = ticket()
    for number in range(MAX_CHANGES):
        one.moved("chat:a", at(11 + number), is_in=number % 2 == 0)
    assert len(one.changes) == MAX_CHANGES
    one.moved("chat:a", at(11 + MAX_CHANGES), is_in=True)
    assert len(one.changes) == MAX_CHANGES // 2 + 1
    assert one.horizon == at(11 + MAX_CHANGES // 2)


def test_a_client_that_changes_rooms_all_the_time_takes_little_memory() -> None:
    one = ticket()
    for number in range(11, 20_000):
        one.moved("chat:a", at(number), is_in=number % 2 == 0)
    assert len(one.changes) <= MAX_CHANGES
    assert one.horizon <= one.changes[0].at
    assert one.horizon > at(15_000)


def test_a_session_keeps_the_rooms_that_it_had_when_it_was_lost() -> None:
    rooms = {"user:u", "chat:a"}
    one = Ticket("p", "a.1", "u", "s", rooms, epoch="e", begin=at(1), has_offsets=True)
    assert one.rooms_at is None
    one.close_sent(at(2))
    one.transport_closed(at(3))
    rooms.clear()
    assert (one.rooms, one.rooms_at) == ({"user:u", "chat:a"}, at(3))


def test_a_room_that_is_entered_while_the_log_stands_still_needs_no_change() -> None:
    one = Ticket("pid", "owner", "user", "sid", (), epoch="e", begin=(5, 0), has_offsets=True)
    one.moved("chat:1", (5, 0), is_in=True)
    assert one.changes == ()
    assert one.unsaved == {"chat:1"}
    one.moved("chat:0", (4, 0), is_in=True)
    assert one.changes == (), "nor one that a slow reader enters before the session began"
    one.moved("chat:1", (5, 0), is_in=False)
    one.moved("chat:1", (5, 0), is_in=True)
    assert one.changes == (RoomChange((5, 0), "chat:1", False), RoomChange((5, 0), "chat:1", True))
    for other in ("chat:0", "chat:2"):
        one.moved(other, (5, 0), is_in=True)
    assert len(one.changes) == 2, "other rooms have no change that it would have to follow"


def test_a_new_session_is_not_stored_and_one_that_goes_on_is() -> None:
    one = ticket()
    assert (one.is_stored, one.attempts) == (False, 0)
    one.resumed((), (), attempts=2)
    assert (one.is_stored, one.attempts) == (True, 2)


def test_what_a_resume_may_rely_on_tells_of_an_offset_of_another_log() -> None:
    one = Ticket(
        "p", "a.1", "u", "s", set(), epoch="e", begin=at(10), has_offsets=True, stale_offset=at(90)
    )
    assert one.proof == DeliveryProof(at(10), True, at(10), None, at(90))
    assert ticket().proof.stale_offset is None


def test_a_session_goes_on_at_another_pod_from_what_was_proven_to_the_first() -> None:
    moved = ticket(begin=10)
    moved.go_on(
        proven=at(20),
        pinged_at=at(25),
        horizon=at(12),
        changes=(RoomChange(at(15), "chat:a", True),),
        unsaved=["chat:a"],
        is_stored=True,
        attempts=2,
    )
    assert moved.proof == DeliveryProof(at(10), False, at(20), None)
    assert (moved.horizon, moved.attempts, moved.is_stored) == (at(12), 2, True)
    assert (moved.changes, moved.unsaved) == ((RoomChange(at(15), "chat:a", True),), {"chat:a"})
    moved.ponged()
    assert moved.proof.proven == at(25), "the ping was sent there, and is answered here"


def test_a_session_that_goes_on_shares_nothing_with_where_it_was() -> None:
    unsaved = {"chat:a"}
    moved = ticket()
    moved.go_on(
        proven=at(20), pinged_at=None, horizon=at(12), changes=(), unsaved=unsaved,
        is_stored=False, attempts=0,
    )  # fmt: skip
    moved.moved("chat:b", at(30), is_in=True)
    assert unsaved == {"chat:a"}
    assert moved.unsaved == {"chat:a", "chat:b"}
