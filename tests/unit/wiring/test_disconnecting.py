"""Who is disconnected on request, what is answered, and what sessions on their way are told."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import pytest

from constellation_ws.chats.members import Members
from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.messages.commands import Disconnect, DisconnectAll, Selection
from constellation_ws.messages.events import Room, Sid
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.wiring.background_jobs import BackgroundJobs, Work
from constellation_ws.wiring.disconnecting import Disconnecting


class World:
    """A pod with members in rooms; its members, all pods and the queue note what they are given."""

    def __init__(self, **rooms: str) -> None:
        """`rooms` are the rooms of each member, by its sid."""
        self.rooms = Rooms()
        for sid, names in rooms.items():
            member = Member(Sid(sid), f"eio-{sid}", cast("Any", None))
            member.stage = Stage.CONNECTED
            self.rooms.add(member)
            for room in names.split():
                self.rooms.enter(member, room)
        self.gone: list[str] = []
        self.noted: list[Selection] = []
        self.answered: list[tuple[str, int]] = []
        self.waiting: dict[Hashable, Work] = {}
        self.disconnecting = Disconnecting(
            cast("Members", self),
            cast("AllPods", self),
            cast("BackgroundJobs", self),
            self.noted.append,
        )

    def everywhere(self, room: Room) -> tuple[Room, ...]:
        return (room,)

    def includes(self, meant: Selection) -> bool:
        return bool(self.rooms.audience(meant.rooms, meant.except_rooms))

    async def disconnect(self, meant: Selection) -> int:
        found = self.rooms.audience(meant.rooms, meant.except_rooms)
        self.gone += sorted(member.sid for member in found)
        return len(found)

    async def answer_disconnect(self, command: Disconnect, count: int) -> None:
        self.answered.append((command.reply_to, count))

    def put(self, key: Hashable, work: Work, seconds: float | None = 5.0) -> None:
        self.waiting.setdefault(key, work)

    async def work(self) -> None:
        """Carry out what waits, and what that adds."""
        while self.waiting:
            await self.waiting.pop(next(iter(self.waiting)))()


@pytest.fixture
def world() -> World:
    return World(a="user:1 chat:1", b="user:1", c="user:2")


@pytest.mark.parametrize(
    ("command", "gone"),
    [
        (Disconnect(Room("user:1")), ["a", "b"]),
        (Disconnect(Room("c")), ["c"]),
        (DisconnectAll((Room("user:1"), Room("user:2")), ()), ["a", "b", "c"]),
        (DisconnectAll((Room("user:1"),), (Room("chat:1"),)), ["b"]),
        (DisconnectAll(None, (Room("user:2"),)), ["a", "b"]),
    ],
)
async def test_those_who_are_meant_are_disconnected_once(
    world: World, command: Disconnect | DisconnectAll, gone: list[str]
) -> None:
    for _ in range(3):
        world.disconnecting.begin(command)
    assert len(world.waiting) == 1
    await world.work()
    assert world.gone == gone
    assert world.answered == []


async def test_where_nobody_is_meant_nothing_waits_but_sessions_on_their_way_are_told(
    world: World,
) -> None:
    world.disconnecting.begin(DisconnectAll((Room("user:3"),), ()))
    world.disconnecting.begin(Disconnect(Room("user:4")))
    assert world.waiting == {}
    assert world.noted == [Selection((Room("user:3"),), ()), Selection((Room("user:4"),), ())]


async def test_a_question_is_answered_also_where_nobody_is_meant(world: World) -> None:
    for who in ("user:1", "user:3"):
        world.disconnecting.begin(Disconnect(Room(who), "kicked", f"reply:{who}", 1))
    await world.work()
    assert world.answered == [("reply:user:1", 2), ("reply:user:3", 0)]
