"""How a session is closed, by whom it may be named, and when its session record is told."""

from __future__ import annotations

import pytest

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.events import Sid
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.gateway import Gateway


class World:
    """A gateway that is made and never run, with one session that has a member."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gateway = Gateway(defaults(), lambda work: work.close())
        self.closing = gateway.clients.closing
        self.session = gateway.clients.engine.open("", "", [])
        self.member = Member(Sid("s1"), self.session.sid, self.session)
        gateway.events.rooms.add(self.member)
        self.ended: list[str] = []
        self.noted: list[Member] = []
        monkeypatch.setattr(gateway.events.sessions, "closing", self.noted.append)
        monkeypatch.setattr(
            gateway.clients.server,
            "close_session",
            lambda session, reason: self.ended.append(reason),
        )


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_the_answer_to_a_close_is_noted_as_a_proof_of_what_arrived(world: World) -> None:
    world.closing.close(world.session, "max age")
    assert (world.ended, world.noted) == (["max age"], [world.member])
    world.session.closed = True
    world.closing.close(world.session, "again")
    assert world.noted == [world.member]


async def test_another_pod_names_a_session_by_its_id(world: World) -> None:
    world.closing.close_for_peer(world.session.sid)
    world.closing.close_for_peer("gone")
    assert world.ended == ["drain"]


async def test_a_member_that_was_resumed_elsewhere_proves_nothing(world: World) -> None:
    world.closing.close_member(world.member, "fenced")
    assert (world.ended, world.noted) == (["fenced"], [])
