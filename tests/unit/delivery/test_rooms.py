"""The index of rooms against a naive one: a dictionary of sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from constellation_ws.delivery.rooms import Member, Rooms, Stage, session_of
from constellation_ws.messages.events import Room, Sid, UserId
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Scope
from constellation_ws.runtime.direct import NOT_DIRECT

NAMES = [Room(name) for name in ("user:1", "user:2", "chat:1", "chat:2", "")]
names = st.sampled_from(NAMES)


class Nowhere:
    """An outlet that nothing is written to."""

    is_flushed = True

    def __init__(self) -> None:
        self.closed = False
        self.descriptor = NOT_DIRECT
        self.write: Callable[[bytes], None] | None = None
        self.pending: bytes | list[bytes] | None = None

    def queue(self, packet: str) -> None:
        raise AssertionError("an index writes nothing")


def member(number: int) -> Member:
    return Member(Sid(f"sid-{number}"), f"eio-{number}", Nowhere())


def connected(number: int) -> Member:
    one = member(number)
    one.stage = Stage.CONNECTED
    return one


class RoomsMachine(RuleBasedStateMachine):
    """Any history of arrivals, departures and requests."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.rooms = Rooms()
        self.arrived = 0
        self.sids: set[str] = set()
        self.model: dict[Room, set[Member]] = {}
        self.present: list[Member] = []

    @rule(target=members)
    def add(self) -> Member:
        self.arrived += 1
        one = member(self.arrived)
        assert self.rooms.add(one)
        self.present.append(one)
        self.sids.add(one.sid)
        return one

    @rule(one=members)
    def add_a_second_for_the_same_connection(self, one: Member) -> None:
        assert not self.rooms.add(Member(Sid("other"), one.eio_sid, one.outlet))

    @rule(one=members)
    def connect(self, one: Member) -> None:
        one.stage = Stage.CONNECTED

    @rule(one=members)
    def begin_to_leave(self, one: Member) -> None:
        one.stage = Stage.LEAVING

    @rule(one=members)
    def take_an_earlier_sid(self, one: Member) -> None:
        if not one.rooms:
            before = one.sid
            self.rooms.rename(one, f"{before}-again")
            self.sids.add(one.sid)
            assert (one.sid, self.rooms.by_sid(before)) == (f"{before}-again", None)

    @rule(one=members, room=names)
    def enter(self, one: Member, room: Room) -> None:
        self.rooms.enter(one, room)
        self.model.setdefault(room, set()).add(one)

    @rule(one=members, room=names)
    def leave(self, one: Member, room: Room) -> None:
        self.rooms.leave(one, room)
        self.model.get(room, set()).discard(one)

    @rule(one=members, other=members)
    def enter_a_sids_room(self, one: Member, other: Member) -> None:
        self.rooms.enter(one, Room(other.sid))

    @rule(one=members, other=members)
    def leave_or_empty_a_sids_room(self, one: Member, other: Member) -> None:
        self.rooms.leave(one, Room(other.sid))
        self.rooms.empty(Room(other.sid))

    @rule(room=names)
    def empty(self, room: Room) -> None:
        assert set(self.rooms.empty(room)) == self.model.pop(room, set())

    @rule(who=names, room=names)
    def enter_all_of_a_room(self, who: Room, room: Room) -> None:
        come = self.rooms.enter_all(self.rooms.members(who), room)
        there = self.model.setdefault(room, set())
        assert set(come) == self.model.get(who, set()) - there
        there |= set(come)

    @rule(who=names, room=names)
    def leave_all_of_a_room(self, who: Room, room: Room) -> None:
        gone = self.rooms.leave_all(self.rooms.members(who), room)
        there = self.model.get(room, set())
        assert set(gone) == self.model.get(who, set()) & there
        self.model[room] = there - set(gone)

    @rule(one=members, other=members)
    def move_into_a_sids_room(self, one: Member, other: Member) -> None:
        assert not self.rooms.enter_all((one,), Room(other.sid))
        assert not self.rooms.leave_all((one,), Room(other.sid))

    @rule(target=members, one=consumes(members))
    def remove(self, one: Member) -> object:
        for _ in range(2):
            self.rooms.remove(one)
        for room in self.model.values():
            room.discard(one)
        self.present.remove(one)
        assert one.rooms == set()
        return multiple()

    @rule(
        wanted=st.lists(names, max_size=4),
        excepted=st.lists(names, max_size=2),
        sids=st.lists(members, max_size=2),
        but=st.lists(members, max_size=1),
    )
    def ask_for_an_audience(
        self, wanted: list[Room], excepted: list[Room], sids: list[Member], but: list[Member]
    ) -> None:
        rooms = [*wanted, *(Room(one.sid) for one in sids)]
        exceptions = [*excepted, *(Room(one.sid) for one in but)]
        expected = self._union(rooms) - self._union(exceptions)
        audience = list(self.rooms.audience(rooms, exceptions))
        assert len(audience) == len(set(audience)), "nobody is written to twice"
        assert set(audience) == expected
        everyone = {one for one in self.present if one.stage is Stage.CONNECTED}
        assert set(self.rooms.audience(None, exceptions)) == everyone - self._union(exceptions)

    def _union(self, rooms: list[Room]) -> set[Member]:
        alone = {one for one in self.present if one.sid in rooms}
        return alone.union(*(self.model.get(room, set()) for room in rooms))

    @invariant()
    def the_index_is_the_model(self) -> None:
        populated = {room: members for room, members in self.model.items() if members}
        for room in NAMES:
            assert set(self.rooms.members(room)) == populated.get(room, set())
        assert self.rooms.room_count == len(populated), "no room is left behind"
        for one in self.present:
            assert one.rooms == {room for room, members in populated.items() if one in members}

    @invariant()
    def everyone_is_found_and_nobody_else(self) -> None:
        assert set(self.rooms) == set(self.present)
        assert len(self.rooms) == len(self.present)
        by_sid = {one.sid: one for one in self.present}
        for sid in self.sids:
            found = by_sid.get(Sid(sid))
            assert self.rooms.by_sid(sid) is found
            assert list(self.rooms.members(sid)) == ([found] if found else [])
        by_eio_sid = {one.eio_sid: one for one in self.present}
        for number in range(1, self.arrived + 1):
            assert self.rooms.by_session(f"eio-{number}") is by_eio_sid.get(f"eio-{number}")

    def teardown(self) -> None:
        for one in self.present:
            self.rooms.remove(one)
        assert (len(self.rooms), self.rooms.room_count) == (0, 0)


RoomsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestAnyHistory = RoomsMachine.TestCase


def test_a_member_is_found_by_either_id_and_by_no_other() -> None:
    rooms, one = Rooms(), member(1)
    rooms.add(one)
    assert rooms.by_sid("sid-1") is one
    assert rooms.by_session("eio-1") is one
    assert rooms.by_sid(None) is None
    assert rooms.by_sid("eio-1") is None
    assert rooms.by_session("sid-1") is None


def test_a_member_begins_without_user_and_rooms_and_not_yet_connected() -> None:
    one = member(1)
    assert (one.stage, one.user, one.rooms, one.allowance) == (Stage.CONNECTING, None, set(), None)
    assert (one.has_offsets, one.unanswered) == (False, 0)


def test_requests_are_unanswered_until_they_end() -> None:
    one = member(1)
    for _ in range(3):
        one.begin_request()
    assert one.unanswered == 3
    for _ in range(3):
        one.end_request()
    assert one.unanswered == 0


def test_events_carry_offsets_where_that_is_wanted() -> None:
    one = member(1)
    one.give_offsets()
    assert one.has_offsets
    one.give_offsets(False)
    assert not one.has_offsets


def test_a_stranger_in_another_index_is_not_taken_for_the_member_of_that_sid() -> None:
    rooms, one, impostor = Rooms(), member(1), member(1)
    rooms.add(one)
    rooms.remove(impostor)
    assert rooms.by_sid("sid-1") is one


def test_everyone_is_everyone_who_has_connected() -> None:
    rooms, here = Rooms(), connected(1)
    leaving = connected(3)
    leaving.stage = Stage.LEAVING
    for one in (here, member(2), leaving):
        rooms.add(one)
    assert set(rooms.audience(None, ())) == {here}
    assert set(rooms.audience(None, [Room("sid-1")])) == set()


def test_who_is_in_two_addressed_rooms_is_addressed_once() -> None:
    rooms, one, other = Rooms(), connected(1), connected(2)
    for each in (one, other):
        rooms.add(each)
        rooms.enter(each, Room("chat:1"))
    rooms.enter(one, Room("user:1"))
    addressed = [Room("user:1"), Room("chat:1"), Room("chat:1"), Room("sid-1"), Room("nobody")]
    assert sorted(each.sid for each in rooms.audience(addressed, ())) == ["sid-1", "sid-2"]
    assert list(rooms.audience(addressed, [Room("user:1")])) == [other]


def inhabited(**rooms_of: str) -> tuple[Rooms, dict[str, Member]]:
    """An index with members, and the rooms that each of them is in."""
    rooms, members = Rooms(), dict[str, Member]()
    for number, (name, wanted) in enumerate(rooms_of.items()):
        members[name] = connected(number)
        rooms.add(members[name])
        for room in wanted:
            rooms.enter(members[name], room)
    return rooms, members


def test_who_leaves_a_room_leaves_the_others_there() -> None:
    rooms, members = inhabited(ann="ab", bob="a", eve="b")
    ann, bob, eve = members.values()
    assert set(rooms.leave_all([ann, eve], "a")) == {ann}
    assert set(rooms.members("a")) == {bob}
    assert [one.rooms for one in (ann, bob, eve)] == [{"b"}, {"a"}, {"b"}]


def test_a_room_that_all_leave_is_gone() -> None:
    rooms, members = inhabited(ann="ab", bob="a")
    assert set(rooms.leave_all([*members.values()], "a")) == {*members.values()}
    assert rooms.names() == ["b"]
    assert not rooms.leave_all([*members.values()], "nobody's")


@pytest.mark.parametrize("addressed", ["ab", "ba", "abc", "cab"])
def test_rooms_that_overlap_are_addressed_together(addressed: str) -> None:
    rooms, members = inhabited(ann="ac", bob="abc", eve="b")
    assert set(rooms.audience(addressed, ())) == {*members.values()}


@pytest.mark.parametrize("addressed", ["a", "ab", "ba", "aba"])
def test_a_room_that_holds_the_others_is_the_audience(addressed: str) -> None:
    """The same object for all messages: they are joined for each of its members."""
    rooms, _ = inhabited(ann="ab", bob="a")
    assert rooms.audience(addressed, ()) is rooms.members("a")


def test_rooms_of_nobody_have_no_audience() -> None:
    assert not Rooms().audience([Room("user:1"), Room("chat:1")], [Room("user:2")])
    assert not Rooms().audience([], ())
    assert not Rooms().audience(None, ())


def test_an_audience_is_not_changed_by_leaving_others_out() -> None:
    rooms, one = Rooms(), connected(1)
    rooms.add(one)
    rooms.enter(one, Room("chat:1"))
    rooms.enter(one, Room("user:1"))
    assert not rooms.audience([Room("chat:1")], [Room("user:1")])
    assert list(rooms.members("chat:1")) == [one]


ORDERS = Scope("/orders,")


def test_a_session_is_a_member_of_each_namespace_and_their_rooms_do_not_meet() -> None:
    rooms = Rooms((DEFAULT_SCOPE, ORDERS))
    here = Member(Sid("one"), "eio", Nowhere())
    there = Member(Sid("two"), "eio", Nowhere(), ORDERS)
    assert rooms.add(here)
    assert rooms.add(there)
    assert not rooms.add(Member(Sid("three"), "eio", Nowhere(), ORDERS))
    for one in (here, there):
        one.connect()
        rooms.enter(one, one.scope + "order:1")
    assert rooms.of_session("eio") == [here, there]
    assert rooms.members("order:1") == {here}
    assert rooms.members("/orders,order:1") == {there}
    assert rooms.audience(["/orders,two", "two"], ()) == {there}
    assert rooms.audience(None, ()) == {here}, "everyone in the default namespace"
    rooms.remove(here)
    assert rooms.of_session("eio") == [there]
    assert (rooms.by_session("eio"), rooms.by_session("eio", ORDERS)) == (None, there)
    assert (rooms.by_sid("two"), rooms.by_sid("two", ORDERS)) == (None, there)


def test_a_user_is_online_while_it_has_a_member_in_any_namespace() -> None:
    rooms = Rooms((DEFAULT_SCOPE, ORDERS))
    one = Member(Sid("one"), "eio", Nowhere(), ORDERS)
    rooms.add(one)
    assert not rooms.is_online(UserId("u"))
    rooms.enter(one, "/orders,user:u")
    assert rooms.is_online(UserId("u"))
    assert not rooms.is_online(UserId("v"))


@pytest.mark.parametrize("scope", [DEFAULT_SCOPE, ORDERS])
def test_a_members_key_names_its_session(scope: Scope) -> None:
    assert session_of(Member(Sid("one"), "eio", Nowhere(), scope).key) == "eio"
