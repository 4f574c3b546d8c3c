"""What is shown of the events that pass, and which of them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import msgspec
import pytest

from constellation_ws.cli import tail
from constellation_ws.cli.tail import Passed, Reader, Wanted, doubt_of, unrecorded
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.messages import commands
from constellation_ws.messages.commands import EMITTER_CHANNEL, Leave
from constellation_ws.messages.events import ChatId, Room, UserId
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS
from tests.tables import compiled
from tests.unit.cli.conftest import NAMES, Deployment

AT = datetime(2025, 6, 1, tzinfo=UTC)
READER = Reader(compiled(), CommandReader(DEFAULT_EMITTERS, Namespaces(), 1_000_000))
EMIT = commands.encode(commands.emit("hi", msgspec.Raw(b"1"), (Room("user:bob"),)))


def read(channel: str, payload: bytes) -> Passed:
    return READER.read(AT, "1-0", channel, payload)


def test_an_event_is_shown_with_whom_it_addresses() -> None:
    event = {"chatId": 7, "userId": "a", "isTyping": True, "participants": ["a", "b"]}
    passed = read("chat:typing", json.dumps(event).encode())

    assert (passed.event, passed.outcome) == ("user-typing", "sent")
    assert set(passed.rooms) == {"user:a", "user:b", "chat:7"}
    assert passed.except_rooms == ["user:a"]
    assert "user-typing -> " in passed.to_line()
    assert " except user:a " in passed.to_line()
    facts = passed.facts()
    assert facts["payload"] == event
    assert (facts["id"], facts["except"]) == ("1-0", ["user:a"])


@pytest.mark.parametrize(
    ("channel", "payload", "outcome"),
    [
        ("chat:new", b"{", "dropped: not JSON"),
        ("chat:messageRead", b'{"userId": 1, "messageIds": []}', "its route sends nothing"),
        (NAMES.commands, b"garbage", "dropped: not a command"),
        (NAMES.commands, commands.encode(Leave(Room("user:1"), Room("chat:2"))), "Leave(who="),
        (EMITTER_CHANNEL, b'{"method":"emit","event":"x","namespace":"/x"}', "dropped: for a"),
    ],
)
def test_what_sends_nothing_says_why(channel: str, payload: bytes, outcome: str) -> None:
    passed = read(channel, payload)
    assert passed.event == ""
    assert passed.outcome.startswith(outcome)
    assert passed.outcome in passed.to_line()


def test_what_services_send_is_an_event_too() -> None:
    passed = read(NAMES.commands, EMIT)
    assert (passed.event, passed.rooms, passed.payload) == ("hi", ("user:bob",), b'["hi",1]')


@pytest.mark.parametrize("value", [b'"cut \\ud83d"', b"1e400", b"9" * 400])
def test_what_only_javascript_reads_is_shown_as_it_was_sent(value: bytes) -> None:
    sent = commands.emit("hi", msgspec.Raw(value), (Room("user:bob"),))
    passed = read(NAMES.commands, commands.encode(sent))
    assert (passed.event, passed.payload) == ("hi", b'["hi",%b]' % value)
    assert passed.facts()["event"] == "hi"


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Wanted(), True),
        (Wanted(user=UserId("bob")), True),
        (Wanted(user=UserId("bo")), False),
        (Wanted(chat=ChatId("bob")), False),
        (Wanted(channel=NAMES.commands), True),
        (Wanted(channel=f"{NAMES.commands[:-3]}*"), True),
        (Wanted(channel="chat:*"), False),
        (Wanted(user=UserId("bob"), channel="chat:new"), False),
    ],
)
def test_filters_must_all_match(wanted: Wanted, matches: bool) -> None:
    assert wanted.matches(read(NAMES.commands, EMIT)) is matches


ROUTES = "routes have chat:deleted, chat:messageRead, chat:new, chat:newMessage, chat:typing"


@pytest.mark.parametrize(
    ("channel", "says"),
    [
        ("chat:newMesage", f"'chat:newMesage'; did you mean chat:newMessage? The {ROUTES}"),
        ("like:new", f"no route has a channel 'like:new'; the {ROUTES}, user:status"),
        ("likes:*", "no route has a channel 'likes:*'"),
        ("chat", "no route has a channel 'chat'"),
    ],
)
@pytest.mark.parametrize("keeps_log", [True, False])
def test_a_channel_that_no_route_has_is_named(channel: str, says: str, keeps_log: bool) -> None:
    doubt = doubt_of(channel, compiled(), NAMES.commands, DEFAULT_EMITTERS, keeps_log=keeps_log)
    assert doubt is not None
    assert says in doubt


@pytest.mark.parametrize(
    "channel",
    [
        *("chat:new", "chat:*", "*:status", "user:[a-s]*", NAMES.commands, EMITTER_CHANNEL),
        *("socket.io#/chats#room#", "socket.io-request#/chats#", "socket.io*", "*#room#"),
    ],
)
def test_a_channel_on_which_something_may_come_is_not_doubted(channel: str) -> None:
    found = doubt_of(channel, compiled(), NAMES.commands, DEFAULT_EMITTERS, keeps_log=True)
    assert found is None


def test_commands_that_are_not_recorded_are_not_shown() -> None:
    doubt = doubt_of(NAMES.commands, compiled(), NAMES.commands, DEFAULT_EMITTERS, keeps_log=False)
    assert doubt is not None
    assert "with live delivery" in doubt


def test_a_room_of_any_namespace_matches() -> None:
    passed = Passed(AT, "", "c", "e", "/x", ["/x,chat:1"], (), "sent", b"{}")
    assert Wanted(chat=ChatId("1")).matches(passed)


def followed(deployment: Deployment, seconds: float, *, keeps_log: bool = True) -> list[Passed]:
    live = unrecorded(compiled(), (), keeps_log=keeps_log)
    until = time.monotonic() + 0.2
    passing = tail.follow(deployment.redis, NAMES, READER, live, since_seconds=seconds, until=until)
    return list(passing)


def test_the_log_is_followed_from_a_moment_on(deployment: Deployment) -> None:
    old, new = {"channel": "chat:new", "data": '{"userId":1}'}, {"channel": "x", "data": "{"}
    deployment.redis.xadd(NAMES.log, old, id="1-0")  # type: ignore[arg-type]
    deployment.redis.xadd(NAMES.log, new)  # type: ignore[arg-type]

    assert [one.channel for one in followed(deployment, 60)] == ["x"]
    assert [one.channel for one in followed(deployment, 1e10)] == ["chat:new", "x"]


def test_all_partitions_of_the_log_are_followed(deployment: Deployment) -> None:
    deployment.redis.hset(NAMES.state, "partitions", "3")
    for number in range(3):
        entry = {"channel": f"of {number}", "data": "{}"}
        deployment.redis.xadd(NAMES.of_partition(number).log, entry)  # type: ignore[arg-type]
    assert sorted(one.channel for one in followed(deployment, 60)) == ["of 0", "of 1", "of 2"]


def test_nobody_is_subscribed_where_all_is_recorded(deployment: Deployment) -> None:
    assert unrecorded(compiled(), ("socket.io#*",), keeps_log=True) == tail.Live([], ())
    live = unrecorded(compiled(), ("socket.io#*",), keeps_log=False)
    assert {"chat:new", EMITTER_CHANNEL} <= set(live.channels)
    assert NAMES.commands not in live.channels
    assert live.patterns == ("socket.io#*",)
