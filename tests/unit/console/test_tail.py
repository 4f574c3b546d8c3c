"""Events for those who look: what becomes of each, how many are shown, and when it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from constellation_ws.console import tail
from constellation_ws.console.describing import MAX_TEXT_CHARS, Describing
from constellation_ws.console.questions import PodTail, Seen, Tail
from constellation_ws.console.tail import MAX_TAILS, SHOWN_PER_SECOND, Tails
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.delivery.routes import compile_table
from constellation_ws.interface import table
from constellation_ws.messages import commands
from constellation_ws.messages.commands import Inspect, Join
from constellation_ws.messages.events import Room, Sid, UserId, user_room
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS
from constellation_ws.redis_io.names import DEFAULT

POD, VIEWER = "pod-a", "viewer-1"
MAX_EVENT_BYTES = 5_000
MESSAGE = b"chat:newMessage"
COMMANDS = DEFAULT.commands.encode()


class Clock:
    """The time that tails read."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class World:
    """The tails of a pod with one client, in a chat."""

    def __init__(self, *, shows_text: bool = False) -> None:
        rooms = Rooms()
        member = Member(Sid("s"), "e", None)  # type: ignore[arg-type]
        member.stage = Stage.CONNECTED
        rooms.add(member)
        for room in (user_room(UserId("bob")), Room("chat:1")):
            rooms.enter(member, room)
        self.describing = Describing(
            POD,
            compile_table(table.load().routes, DEFAULT_NAMESPACES),
            rooms,
            CommandReader(DEFAULT_EMITTERS, DEFAULT_NAMESPACES, MAX_EVENT_BYTES),
            commands_channel=DEFAULT.commands,
            max_event_bytes=MAX_EVENT_BYTES,
            shows_text=shows_text,
        )
        self.tails = Tails(self.describing)

    def ask(self, after: int = 0, viewer: str = VIEWER, **wanted: Any) -> PodTail:
        return self.tails.answer(Tail(viewer, {POD: after}, **wanted))

    def see(self, *entries: tuple[bytes, bytes, bytes], age: float | None = 0.002) -> list[Seen]:
        """What a viewer is shown of a batch."""
        self.ask()
        self.tails.look(entries, age)
        return self.ask().events


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tail, "time", clock)
    return clock


def message(number: int, user: str = "bob", chat: str = "9", **more: Any) -> tuple[bytes, ...]:
    event = {"chatId": chat, "recipientId": user, "text": "private"} | more
    return b"1764086400%03d-0" % number, MESSAGE, json.dumps(event).encode()


def entry(*parts: bytes) -> Any:
    return parts


def test_nobody_looks_until_somebody_asks_and_no_longer_than_they_ask(clock: Clock) -> None:
    world = World()
    assert not world.tails.is_on
    world.ask()
    assert world.tails.is_on
    clock.now += tail.TAIL_SECONDS + 1
    world.tails.look([entry(*message(1))], 0.0)
    assert not world.tails.is_on


def test_what_becomes_of_an_event_is_told_without_its_text(clock: Clock) -> None:
    (seen,) = World().see(entry(*message(7)))
    assert (seen.event, seen.outcome, seen.recipients) == ("new-message", "delivered", 1)
    assert (seen.id, seen.channel) == ("1764086400007-0", "chat:newMessage")
    assert seen.rooms == ["user:bob", "chat:9"]
    assert seen.late_ms == 2.0
    assert seen.data is None
    assert "private" not in repr(seen)


def test_the_text_is_shown_where_that_is_allowed_as_far_as_it_goes(clock: Clock) -> None:
    (seen,) = World(shows_text=True).see(entry(*message(7, text="я" * 1_000)))
    assert seen.data is not None
    assert "private" not in seen.data
    assert 0 < len(seen.data) <= MAX_TEXT_CHARS


@pytest.mark.parametrize(
    ("channel", "payload", "outcome"),
    [
        (MESSAGE, b'{"recipientId":"nobody"}', "no_recipient"),
        (MESSAGE, b"no json", "malformed"),
        (MESSAGE, b"x" * (MAX_EVENT_BYTES + 1), "too_large"),
        (b"chat:messageRead", b'{"userId":"bob","messageIds":[]}', "nothing_to_send"),
        (COMMANDS, commands.encode(Join(Room("user:bob"), Room("vip"))), "command"),
        (COMMANDS, b'{"type":"nothing known"}', "malformed"),
    ],
)
def test_each_outcome_has_its_word(
    channel: bytes, payload: bytes, outcome: str, clock: Clock
) -> None:
    (seen,) = World().see((b"1-0", channel, payload))
    assert seen.outcome == outcome


def test_what_a_service_sends_is_shown_and_what_pods_ask_each_other_is_not(clock: Clock) -> None:
    emit = commands.encode(commands.emit("shipped", Raw(b'{"a":1}'), (Room("user:bob"),)))
    question = commands.encode(Inspect(Raw(b"{}"), "reply", 1))
    (seen,) = World().see((b"", COMMANDS, question), (b"5-0", COMMANDS, emit), age=None)
    assert (seen.event, seen.outcome, seen.recipients) == ("shipped", "delivered", 1)
    assert seen.late_ms is None


def test_an_event_that_is_in_no_log_has_an_id_that_all_pods_give_it(clock: Clock) -> None:
    payload = message(1)[2]
    (one,), (other,) = (World().see((b"", MESSAGE, payload)) for _ in range(2))
    assert one.id == other.id
    assert one.id.startswith("~")


def test_a_viewer_gets_what_it_has_not_seen(clock: Clock) -> None:
    world = World()
    world.ask()
    world.tails.look([entry(*message(number)) for number in range(3)], 0.0)
    first = world.ask()
    assert (first.cursor, first.passed, len(first.events)) == (3, 3, 3)
    assert world.ask(first.cursor).events == []
    world.tails.look([entry(*message(9))], 0.0)
    assert [one.number for one in world.ask(first.cursor).events] == [4]


def test_a_cursor_of_a_process_that_is_gone_begins_again(clock: Clock) -> None:
    world = World()
    world.ask(70)
    world.tails.look([entry(*message(1))], 0.0)
    assert len(world.ask(70).events) == 1


def test_a_flood_is_counted_and_sampled_alike_on_all_pods(clock: Clock) -> None:
    one, other = World(), World()
    for world in (one, other):
        world.ask()
    for second in range(3):
        batch = [entry(*message(number, second=second)) for number in range(900)]
        for world in (one, other):
            world.tails.look(batch, 0.0)
        clock.now += 1.5
        answers = [world.ask(limit=200) for world in (one, other)]
        assert [answer.passed for answer in answers] == [900, 900]
        assert answers[0].events == answers[1].events
    assert 0 < len({seen.id for seen in answers[0].events}) <= 3 * SHOWN_PER_SECOND


def test_a_room_is_found_among_many_events_of_others(clock: Clock) -> None:
    world = World()
    world.ask(room="user:bob")
    batch = [entry(*message(number, user="someone")) for number in range(500)]
    world.tails.look([*batch, entry(*message(501)), *batch[:100]], 0.0)
    assert [seen.id for seen in world.ask(room="user:bob").events] == ["1764086400501-0"]


def test_a_channel_alone_is_shown(clock: Clock) -> None:
    world = World()
    world.ask(channel="chat:new")
    world.tails.look([entry(*message(1)), (b"2-0", b"chat:new", b'{"userId":"bob"}')], 0.0)
    answer = world.ask(channel="chat:new")
    assert [seen.event for seen in answer.events] == ["new-chat"]
    assert answer.passed == 1


def test_only_so_many_look_at_a_time(clock: Clock) -> None:
    world = World()
    for number in range(MAX_TAILS + 3):
        world.ask(viewer=f"viewer-{number}")
    assert len(world.tails._viewers) == MAX_TAILS
