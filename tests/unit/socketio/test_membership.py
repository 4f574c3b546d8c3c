"""python-socketio's questions about who is in which room, answered from `delivery.rooms`."""

from __future__ import annotations

import pytest
import pytest_asyncio

from constellation_ws.delivery.rooms import Stage
from constellation_ws.engine.server import Engine
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server
from tests.unit.engine.world import LIMITS, NAMESPACE


@pytest_asyncio.fixture
async def members() -> Membership:
    engine = Engine(LIMITS, pod_tag="p", spawn=lambda work: work.close(), turns=TurnQueue())
    membership = Membership(Namespaces([NAMESPACE, "/other"]))
    return Server(engine, membership, lambda member, request_bytes: None).membership


async def enter(members: Membership, namespace: str = NAMESPACE) -> tuple[str, str]:
    """Connect a new session; return its sid and its Engine.IO sid."""
    eio_sid = members.server.eio.open("", "", []).sid
    sid = await members.pre_connect(eio_sid, namespace)
    assert sid is not None
    return await members.connect(sid, namespace), eio_sid


async def test_a_member_is_connecting_connected_leaving_and_gone(members: Membership) -> None:
    eio_sid = members.server.eio.open("", "", []).sid
    sid = await members.pre_connect(eio_sid, NAMESPACE)
    assert sid is not None
    member = members.member(sid, NAMESPACE)
    assert member is not None
    assert members.is_pre_connected(sid, NAMESPACE)
    assert not members.is_connected(sid, NAMESPACE)
    await members.connect(sid, NAMESPACE)
    assert members.is_connected(sid, NAMESPACE)
    assert members.pre_disconnect(sid, NAMESPACE) == eio_sid
    assert member.stage is Stage.LEAVING
    assert not members.is_connected(sid, NAMESPACE)
    await members.disconnect(sid, NAMESPACE)
    assert members.member(sid, NAMESPACE) is None
    assert members.eio_sid_from_sid(sid, NAMESPACE) is None
    assert members.sid_from_eio_sid(eio_sid, NAMESPACE) is None


async def test_a_session_is_one_member_of_each_namespace(members: Membership) -> None:
    sid, eio_sid = await enter(members)
    assert await members.pre_connect(eio_sid, NAMESPACE) is None
    other = await members.pre_connect(eio_sid, "/other")
    assert other not in (None, sid)
    assert members.sid_from_eio_sid(eio_sid, NAMESPACE) == sid
    assert members.sid_from_eio_sid(eio_sid, "/other") == other


async def test_a_session_that_is_gone_becomes_no_member(members: Membership) -> None:
    assert await members.pre_connect("gone", NAMESPACE) is None
    assert not len(members.index)


async def test_rooms_are_entered_left_and_emptied(members: Membership) -> None:
    (one, _), (two, _) = await enter(members), await enter(members)
    for sid in (one, two):
        await members.enter_room(sid, NAMESPACE, "a")
        await members.enter_room(sid, NAMESPACE, "b")
    assert set(members.get_rooms(one, NAMESPACE)) == {one, "a", "b"}
    await members.leave_room(one, NAMESPACE, "a")
    await members.leave_room(one, NAMESPACE, "never there")
    assert {sid for sid, _ in members.get_participants(NAMESPACE, "a")} == {two}
    await members.close_room("b", NAMESPACE)
    assert list(members.get_participants(NAMESPACE, "b")) == []
    with pytest.raises(ValueError, match="not connected"):
        await members.enter_room("nobody", NAMESPACE, "a")


async def test_participants_are_those_of_a_room_of_several_of_a_sid_or_all(
    members: Membership,
) -> None:
    (one, eio_one), (two, eio_two) = await enter(members), await enter(members)
    await members.enter_room(one, NAMESPACE, "a")
    await members.enter_room(two, NAMESPACE, "b")
    everyone = {(one, eio_one), (two, eio_two)}
    assert list(members.get_participants(NAMESPACE, "a")) == [(one, eio_one)]
    assert set(members.get_participants(NAMESPACE, ["a", "b", "a"])) == everyone
    assert list(members.get_participants(NAMESPACE, two)) == [(two, eio_two)]
    assert set(members.get_participants(NAMESPACE, None)) == everyone
    assert list(members.get_participants(NAMESPACE, "empty")) == []


async def test_asking_about_a_namespace_does_not_make_one(members: Membership) -> None:
    await enter(members)
    name = "/named-by-a-client"
    assert members.sid_from_eio_sid("x", name) is None
    assert members.eio_sid_from_sid("x", name) is None
    assert not members.is_connected("x", name)
    assert not members.is_pre_connected("x", name)
    assert not members.is_sid_room(name, "x")
    assert members.get_rooms("x", name) == []
    assert members.pre_disconnect("x", name) is None
    members.basic_disconnect("x", name)
    members.basic_leave_room("x", name, "room")
    assert set(members.get_namespaces()) == {NAMESPACE, "/other"}
