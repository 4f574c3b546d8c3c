"""Who has to go when too many connections wait without asking for anything."""

from __future__ import annotations

from constellation_ws.http.lobby import Lobby
from constellation_ws.http.refusals import HALF_OPEN, TOO_SLOW, response_to
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Refuse
from tests.conformance.wire import request
from tests.unit.engine.world import TARGET, serving
from tests.waiting import PATIENCE_SECONDS, eventually


class Connection:
    def __init__(self) -> None:
        self.is_gone = False

    def close_waiting(self) -> None:
        self.is_gone = True


class Counted:
    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def __call__(self, refusal: Refusal) -> Refuse:
        self.refusals.append(refusal)
        return response_to(refusal)


def test_when_the_lobby_is_full_who_has_waited_longest_goes() -> None:
    counted = Counted()
    lobby = Lobby(2, counted)
    first, second, third = Connection(), Connection(), Connection()
    for one in (first, second, third):
        lobby.enter(one)
    assert [one.is_gone for one in (first, second, third)] == [True, False, False]
    assert counted.refusals == [HALF_OPEN]
    assert len(lobby) == 2


def test_who_was_heard_makes_room_and_may_wait_again() -> None:
    counted = Counted()
    lobby = Lobby(2, counted)
    first, second, third = Connection(), Connection(), Connection()
    lobby.enter(first)
    lobby.enter(second)
    lobby.leave(first)
    lobby.leave(first)
    lobby.enter(first)
    lobby.enter(third)
    assert [one.is_gone for one in (first, second, third)] == [False, True, False]


def test_while_sockets_are_out_one_goes_for_each_that_comes() -> None:
    counted, is_out = Counted(), False
    lobby = Lobby(100, counted, is_out_of_sockets=lambda: is_out)
    first, second, third, fourth = (Connection() for _ in range(4))
    lobby.enter(first)
    lobby.enter(second)
    is_out = True
    lobby.enter(third)
    assert [one.is_gone for one in (first, second, third)] == [True, False, False]
    lobby.leave(second)
    lobby.leave(third)
    lobby.enter(fourth)
    assert fourth.is_gone, "nobody else waits"
    assert counted.refusals == [HALF_OPEN, HALF_OPEN]


def test_a_refusal_is_counted_once() -> None:
    counted = Counted()
    assert Lobby(2, counted).refuse(TOO_SLOW).status == 408
    assert counted.refusals == [TOO_SLOW]


async def test_a_flood_of_silent_connections_keeps_nobody_out_who_asks() -> None:
    async with serving() as world:
        world.lobby._most = 3
        async with world.wired() as longest, world.wired() as longer, world.wired():
            await eventually(lambda: len(world.lobby) == 3, PATIENCE_SECONDS, "all wait")
            async with world.member(), world.wired():
                assert await longest.ended() == b""
                await longer.write(request(TARGET))  # still heard
                assert (await longer.response()).status == 400
    assert world.refused.count("half_open") == 1
