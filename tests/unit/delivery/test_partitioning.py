"""Messages that concern one room are in one partition of the log, whoever sends them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.delivery.partitioning import Partitioning, _room_of
from constellation_ws.interface.rows import RouteRow
from constellation_ws.interface.table import load
from constellation_ws.messages import commands
from constellation_ws.messages.commands import Command, Emit, Empty, Join, Leave, Regroup
from constellation_ws.messages.events import MalformedEvent, Room
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS
from constellation_ws.redis_io.names import DEFAULT
from tests.emitter_cases import EmitterCase, emitter_cases
from tests.event_cases import EventCase, event_cases

COMMANDS = DEFAULT.commands.encode()
WIDTH = 64
ARGS = msgspec.Raw(b'["e"]')


def partitioning(*rows: RouteRow, width: int = WIDTH) -> Partitioning:
    made = Partitioning(rows or load().routes)
    made.widen(width)
    return made


def of_room(room: str) -> int:
    return of_command(Join(Room("user:1"), Room(room)))


def of_command(command: Command) -> int:
    return partitioning().find(COMMANDS, commands.encode(command))


def of_event(channel: str, event: Any) -> int:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    return partitioning().find(channel.encode(), raw)


def test_with_one_partition_nothing_is_read() -> None:
    made = Partitioning(load().routes)
    assert made.find(b"chat:new", b'{"chatId": 5}') == 0
    assert made.find(b"chat:new", b"\xff") == 0


def test_there_are_never_fewer() -> None:
    made = partitioning(width=3)
    made.widen(2)
    assert made.width == 3


@pytest.mark.parametrize(
    "channel",
    ["chat:newMessage", "chat:messageRead", "chat:typing", "chat:new", "chat:deleted"],
)
def test_all_events_of_a_chat_are_in_its_partition(channel: str) -> None:
    for chat in ("7", "8", "Ж"):
        event = {"chatId": chat, "userId": "u", "participants": ["a", "b"], "recipientId": "r"}
        assert of_event(channel, event) == of_room(f"chat:{chat}")


def test_what_has_no_other_room_goes_by_its_first_user() -> None:
    assert of_event("user:status", {"notifyUsers": ["a", "b"]}) == of_room("user:a")
    assert of_event("user:status", {"notifyUsers": "b"}) == of_room("user:b")


@pytest.mark.parametrize("chat", [7, 7.0, "7", [7, 8], [None, 7], [1.5, "7"]], ids=repr)
def test_an_id_is_the_same_however_it_is_written(chat: Any) -> None:
    assert of_event("chat:new", {"chatId": chat}) == of_room("chat:7")


def test_half_of_a_surrogate_pair_elsewhere_in_the_event_does_not_matter() -> None:
    assert of_event("chat:new", b'{"text": "\\ud83d", "chatId": 7}') == of_room("chat:7")


@pytest.mark.parametrize(
    "raw",
    [b"", b"7", b"\xff", b"{}", b'{"chatId": null}', b'{"chatId": ""}', b'{"chatId": []}',
     b'{"chatId": {}}', b'{"chatId": "\\ud83d"}', b"[" * 100_000, b'{"chatId": 1e999}'],
)  # fmt: skip
def test_what_cannot_be_read_goes_to_the_first(raw: bytes) -> None:
    made = partitioning()
    for channel in (b"chat:new", COMMANDS, b"socketio", b"socket.io#/chats#", b"nobody's"):
        assert made.find(channel, raw) == 0


def test_a_route_may_say_by_what_it_is_divided() -> None:
    row = RouteRow("c", "e", (), ("user:{u}", "order:{o}", "shop:{s}"), namespace="/chats")
    event = json.dumps({"u": 1, "o": 2, "s": 3}).encode()
    assert partitioning(row).find(b"c", event) == of_room("order:2")
    said = msgspec.structs.replace(row, partition_by="shop:{s}")
    assert partitioning(said).find(b"c", event) == of_room("shop:3")


def test_rooms_of_another_namespace_are_rooms_of_their_own() -> None:
    namespaces = Namespaces(("/chats", "/orders"))
    row = RouteRow("c", "e", (), ("order:{o}",), namespace="/orders")
    made = Partitioning([row], namespaces=namespaces)
    made.widen(WIDTH)
    assert made.find(b"c", b'{"o": 5}') == of_room("/orders,order:5")


@pytest.mark.parametrize(
    ("command", "room"),
    [
        (Join(Room("user:1"), Room("chat:5")), "chat:5"),
        (Leave(Room("user:1"), Room("chat:5")), "chat:5"),
        (Empty(Room("chat:5")), "chat:5"),
        (Emit(ARGS, (Room("chat:5"), Room("chat:6"))), "chat:5"),
        (Regroup((Room("a"),), (), enters=(Room("chat:5"),)), "chat:5"),
        (Regroup((Room("a"),), (), leaves=(Room("chat:5"),)), "chat:5"),
        (Regroup((Room("a"),), ()), "a"),
        (commands.DisconnectAll((Room("a"),), ()), "a"),
    ],
    ids=[
        "join",
        "leave",
        "empty",
        "emit",
        "enter",
        "leave of many",
        "move of nobody",
        "disconnect",
    ],
)
def test_a_command_goes_by_the_room_that_it_is_about(command: Command, room: str) -> None:
    assert of_command(command) == of_room(room)


def test_a_command_about_no_room_goes_to_the_first() -> None:
    assert of_command(Emit(ARGS, None)) == 0
    assert of_command(commands.DisconnectAll(None, ())) == 0


@pytest.mark.parametrize("case", emitter_cases(), ids=str)
def test_what_emitters_publish_goes_by_its_first_room(case: EmitterCase) -> None:
    reader = CommandReader(DEFAULT_EMITTERS, DEFAULT_NAMESPACES, 1 << 30)
    try:
        command = reader.read(case.channel.encode(), case.message)
    except MalformedEvent:
        command = None
    room = None if command is None else _room_of(command)
    found = partitioning().find(case.channel.encode(), case.message)
    assert found == (0 if room is None else of_room(room))


@pytest.mark.parametrize("case", event_cases(), ids=lambda case: case.name)
def test_no_event_raises(case: EventCase) -> None:
    assert 0 <= partitioning().find(case.channel.encode(), case.publish.encode()) < WIDTH


@given(st.binary(max_size=40), st.sampled_from([b"chat:new", b"socketio", b"socket.io#/chats#"]))
def test_no_garbage_raises(raw: bytes, channel: bytes) -> None:
    assert 0 <= partitioning().find(channel, raw) < WIDTH


def test_chats_spread_over_the_partitions() -> None:
    counts = Counter(of_room(f"chat:{number}") % 3 for number in range(3_000))
    assert len(counts) == 3
    assert min(counts.values()) > 800
