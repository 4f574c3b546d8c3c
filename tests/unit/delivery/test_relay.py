"""The story of one event with real parts: table, rooms, frames, fanout and metrics.

Clients are outlets on long-polling, whose packets are text; how bytes reach a WebSocket is shown by
the tests of frames and fanout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import INVALID_SPAN, Span
from structlog.testing import capture_logs
from structlog.typing import EventDict

from constellation_ws.delivery.effects import Asked, Effect, MembershipEnded, Moved
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Member, Rooms, Stage
from constellation_ws.delivery.routes import RoutedEvent, Table, compile_table
from constellation_ws.interface.rows import RouteRow
from constellation_ws.messages import commands
from constellation_ws.messages.commands import (
    Disconnect,
    DisconnectAll,
    Empty,
    Fence,
    Handover,
    Inspect,
    Join,
    Leave,
    ListMembers,
)
from constellation_ws.messages.events import ChatId, Room, Sid, Slice, UserId, chat_room, user_room
from constellation_ws.messages.frames import Frame
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Passed, Tracing
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.runtime.direct import NOT_DIRECT
from tests.event_cases import EventCase, event_cases
from tests.seen_spans import Seen
from tests.tables import compiled

TABLE = compiled()
CASES = event_cases()
PEOPLE = ("alice", "bob", "carol", "dave")
CHATS = ("c-1", "c-2", "c-3")
MAX_EVENT_BYTES = 100_000


class Client:
    """One socket: a member with an outlet that keeps what is queued for it."""

    is_flushed = True

    def __init__(self, number: int, user: str) -> None:
        self.closed = False
        self.descriptor = NOT_DIRECT
        self.write: Callable[[bytes], None] | None = None
        self.pending: bytes | list[bytes] | None = None
        self.packets: list[str] = []
        self.member = Member(Sid(f"sid-{number}"), f"eio-{number}", self)
        self.member.stage = Stage.CONNECTED
        self.member.user = UserId(user)

    def queue(self, packet: str) -> None:
        self.packets.append(packet)

    @property
    def heard(self) -> list[Any]:
        """Events with their arguments, oldest first."""
        assert all(packet.startswith("42/chats,") for packet in self.packets)
        return [json.loads(packet.removeprefix("42/chats,")) for packet in self.packets]


class Pod:
    """A relay with its rooms, and what it sent others to do."""

    def __init__(
        self,
        table: Table = TABLE,
        tracing: Tracing | NoTracing = NO_TRACING,
        emitters: EmitterChannels = DEFAULT_EMITTERS,
    ) -> None:
        self.rooms = Rooms()
        self.metrics = Metrics()
        self.disconnected: list[Disconnect | DisconnectAll] = []
        self.listed: list[ListMembers | Inspect] = []
        self.asked: list[Asked] = []
        self.moved: list[Member] = []
        self.ended: list[tuple[str, str | None]] = []
        self.fenced: list[tuple[str, str]] = []
        self.handovers = 0
        self.relay = Relay(
            table,
            self.rooms,
            Fanout(),
            self.metrics,
            max_event_bytes=MAX_EVENT_BYTES,
            tracing=tracing,
            emitters=emitters,
        )

    def client(self, user: str, *chats: str) -> Client:
        """A connected client in its user's room and in some chats."""
        one = Client(len(self.rooms) + 1, user)
        self.rooms.add(one.member)
        self.rooms.enter(one.member, user_room(UserId(user)))
        for chat in chats:
            self.join(one, chat)
        return one

    def join(self, one: Client, chat: str) -> None:
        self.rooms.enter(one.member, Room(f"chat:{chat}"))

    def publish(self, channel: str, *messages: dict[str, Any] | str | bytes) -> None:
        """One batch on one channel."""
        self.take([published(channel, message) for message in messages])

    def take(self, batch: list[tuple[bytes, bytes]]) -> None:
        """One batch on several channels."""
        self._note(self.relay.deliver(batch))

    def log(self, *entries: tuple[str, str, dict[str, Any]]) -> None:
        """One batch from the log: offset, channel and message."""
        batch = [
            (offset.encode(), *published(channel, event)) for offset, channel, event in entries
        ]
        self._note(self.relay.deliver_logged(batch, age_seconds=0.0))

    def tell(self, *orders: commands.Command) -> None:
        """One batch of commands."""
        self.publish(DEFAULT.commands, *map(commands.encode, orders))

    def count(self, name: str, **labels: str) -> float:
        """A counter of `Metrics`, by its attribute."""
        families = getattr(self.metrics, name).collect()
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels == labels
        )

    def _note(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Moved(members):
                    self.moved.extend(members)
                case MembershipEnded(room, who):
                    self.ended.append((room, who))
                case Disconnect() | DisconnectAll():
                    self.disconnected.append(effect)
                case ListMembers() | Inspect():
                    self.listed.append(effect)
                case Fence(sid, owner):
                    self.fenced.append((sid, owner))
                case Handover():
                    self.handovers += 1
                case Asked():
                    self.asked.append(effect)


def published(channel: str, message: dict[str, Any] | str | bytes) -> tuple[bytes, bytes]:
    text = json.dumps(message) if isinstance(message, dict) else message
    return channel.encode(), text.encode() if isinstance(text, str) else text


def emit(event: str, data: object, *rooms: str, but: tuple[str, ...] = ()) -> commands.Emit:
    args = msgspec.Raw(json.dumps([event, data]).encode())
    return commands.Emit(args, tuple(map(Room, rooms)), tuple(map(Room, but)))


@pytest.fixture
def pod() -> Pod:
    return Pod()


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_reaches_exactly_those_it_is_for_once(case: EventCase, pod: Pod) -> None:
    clients = [
        (user, set(chats), pod.client(user, *chats))
        for user in (*PEOPLE, "alice")
        for chats in ((), ("c-1",), ("c-1", "c-2"))
    ]
    pod.publish(case.channel, case.publish)
    for user, chats, client in clients:
        reached = case.reaches(user, {f"chat:{chat}" for chat in chats})
        assert client.heard == ([[case.event, case.payload]] if reached else [])


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.sets(st.sampled_from(CHATS))), max_size=6),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(PEOPLE), max_size=4),
            st.sampled_from(CHATS),
            st.sampled_from(PEOPLE),
        ),
        max_size=6,
    ),
)
def test_typing_is_told_in_order_to_each_socket_once_and_never_to_its_author(
    sockets: list[tuple[str, set[str]]], events: list[tuple[list[str], str, str]]
) -> None:
    pod = Pod()
    clients = [(user, chats, pod.client(user, *chats)) for user, chats in sockets]
    pod.publish(
        "chat:typing",
        *(
            {"participants": people, "chatId": chat, "userId": author, "isTyping": number}
            for number, (people, chat, author) in enumerate(events)
        ),
    )
    for user, chats, client in clients:
        assert client.heard == [
            ["user-typing", {"userId": author, "isTyping": number, "chatId": chat}]
            for number, (people, chat, author) in enumerate(events)
            if user != author and (user in people or chat in chats)
        ]


def test_a_broken_event_costs_itself_only_and_is_logged_without_its_text(
    pod: Pod, logged: list[EventDict]
) -> None:
    bob = pod.client("bob")
    good = {"userId": "bob", "chatId": 1}
    pod.publish("chat:new", good, "{SECRET", b"\xffSECRET", '{"text":"SECRET"}', good | {"x": 2})
    assert bob.heard == [["new-chat", {"chatId": 1}]] * 2
    assert pod.count("events", channel="chat:new", outcome="malformed") == 3
    assert [line["channel"] for line in logged] == ["chat:new"] * 3
    assert [line["reason"] for line in logged] == [
        "not JSON",
        "not UTF-8",
        "lacks the keys that name its recipients",
    ]
    assert "SECRET" not in str(logged)


def test_an_event_that_is_too_large_is_dropped_counted_and_logged_whoever_sent_it(
    pod: Pod, logged: list[EventDict]
) -> None:
    bob = pod.client("bob")

    def event(size: int) -> dict[str, Any]:
        bare = {"userId": "bob", "chatId": ""}
        return bare | {"chatId": "x" * (size - len(json.dumps(bare)))}

    largest, too_large = event(MAX_EVENT_BYTES), event(MAX_EVENT_BYTES + 1)
    pod.publish("chat:new", too_large, largest)
    pod.log(("1-0", "chat:new", too_large), ("2-0", "chat:new", largest))
    emitter = {"method": "emit", "event": "e", "data": [""], "room": "user:bob"}
    message = emitter | {"namespace": "/chats", "data": ["x" * MAX_EVENT_BYTES]}
    pod.publish(commands.EMITTER_CHANNEL, message)
    pod.tell(emit("e", "x" * MAX_EVENT_BYTES, "user:bob"))
    assert bob.heard == [["new-chat", {"chatId": largest["chatId"]}]] * 2
    assert pod.count("events", channel="chat:new", outcome="too_large") == 2
    assert pod.count("commands", kind="too_large") == 2
    assert [(line["channel"], line["bytes"] > MAX_EVENT_BYTES) for line in logged] == [
        ("chat:new", True),
        ("chat:new", True),
        (commands.EMITTER_CHANNEL, True),
        (DEFAULT.commands, True),
    ]
    assert "xxx" not in str(logged)
    # A resuming client is not sent it either.
    assert pod.relay.read(*published("chat:new", too_large)) is None
    assert pod.relay.read(*published("chat:new", largest)) is not None


def test_addresses_that_are_no_ids_are_left_out_counted_and_logged(
    pod: Pod, logged: list[EventDict]
) -> None:
    bob, one = pod.client("bob"), pod.client("1")
    pod.publish("user:status", {"notifyUsers": ["bob", None, 1.0, 1.5], "status": "SECRET"})
    emitter = {"method": "emit", "event": "e", "data": [1], "room": ["user:bob", 1.5]}
    pod.publish(commands.EMITTER_CHANNEL, emitter | {"namespace": "/chats"})
    assert one.heard == [["user-status", {"status": "SECRET"}]]
    assert bob.heard == [*one.heard, ["e", 1]]
    assert pod.count("invalid_ids", channel="user:status") == 2
    assert pod.count("invalid_ids", channel=commands.EMITTER_CHANNEL) == 1
    assert [(line["channel"], line["count"]) for line in logged] == [
        ("user:status", 2),
        (commands.EMITTER_CHANNEL, 1),
    ]
    assert "SECRET" not in str(logged)


def test_every_event_is_counted_under_what_became_of_it(pod: Pod) -> None:
    pod.client("bob", "c-1")
    pod.client("bob")
    pod.publish("chat:new", {"userId": "bob"}, {"userId": "nobody"})
    pod.publish("chat:messageRead", {"userId": "bob", "messageIds": []}, {"userId": "bob"})
    # Its audience is the very room that is emptied.
    pod.publish("chat:deleted", {"chatId": "c-1"}, {"chatId": "c-1"})

    def count(channel: str, outcome: str) -> float:
        return pod.count("events", channel=channel, outcome=outcome)

    assert count("chat:new", "delivered") == 1
    assert count("chat:new", "no_recipient") == 1
    assert count("chat:messageRead", "nothing_to_send") == 1
    assert count("chat:messageRead", "delivered") == 1
    assert count("chat:deleted", "delivered") == 1
    assert count("chat:deleted", "no_recipient") == 1
    assert pod.count("deliveries", event="new-chat") == 2
    assert pod.count("deliveries", event="message-read") == 2
    assert pod.count("deliveries", event="chat-deleted") == 1


FOR_ONE = '{"recipientId": "%s", "chatId": "c-9", "text": "1"}'


def test_events_for_others_are_counted_and_the_first_for_somebody_here_arrives(pod: Pod) -> None:
    """However many in a row had no recipient, so that only the addresses were read."""
    alice = pod.client("alice")
    for who in (*["bob"] * 30, "alice", *["bob"] * 30, "alice"):
        pod.publish("chat:newMessage", FOR_ONE % who)
    assert len(alice.heard) == 2
    assert pod.count("events", channel="chat:newMessage", outcome="no_recipient") == 60
    assert pod.count("events", channel="chat:newMessage", outcome="delivered") == 2


def test_a_broken_event_behind_many_for_others_is_malformed(pod: Pod) -> None:
    pod.publish("chat:newMessage", *[FOR_ONE % "bob"] * 20, (FOR_ONE % "bob")[:-1])
    assert pod.count("events", channel="chat:newMessage", outcome="malformed") == 1


def test_a_deleted_chat_is_told_and_then_empty_within_one_batch(pod: Pod) -> None:
    member, outsider = pod.client("alice", "c-1", "c-2"), pod.client("bob")
    pod.take(
        [
            published("chat:newMessage", {"chatId": "c-1", "text": "last"}),
            published("chat:deleted", {"chatId": "c-1", "participants": ["alice", "bob"]}),
            published("chat:newMessage", {"chatId": "c-1", "text": "too late"}),
            published("chat:newMessage", {"chatId": "c-2", "text": "elsewhere"}),
        ]
    )
    assert member.heard == [
        ["new-message", {"chatId": "c-1", "text": "last"}],
        ["chat-deleted", {"chatId": "c-1"}],
        ["new-message", {"chatId": "c-2", "text": "elsewhere"}],
    ]
    assert outsider.heard == [["chat-deleted", {"chatId": "c-1"}]]
    assert member.member.rooms == {"user:alice", "chat:c-2"}
    assert pod.moved == [member.member]


def test_an_emit_reaches_rooms_and_sids_but_not_the_excepted(pod: Pod) -> None:
    a, b, c = pod.client("alice", "c-1"), pod.client("bob", "c-1"), pod.client("carol")
    pod.tell(
        emit("x", 1, "chat:c-1"),
        emit("x", 2, "chat:c-1", "user:carol", "user:alice", but=("user:bob",)),
        emit("x", 3, c.member.sid),
        emit("x", 4, "chat:c-1", but=(a.member.sid,)),
        emit("x", 5, "nobody"),
        emit("x", 6),
    )
    assert [event[1] for event in a.heard] == [1, 2]
    assert [event[1] for event in b.heard] == [1, 4]
    assert [event[1] for event in c.heard] == [2, 3]
    assert pod.count("deliveries", event="emitted") == 6
    assert pod.count("commands", kind="emit") == 6


def test_an_emit_without_rooms_reaches_everyone_but_the_excepted(pod: Pod) -> None:
    a, b = pod.client("alice"), pod.client("bob")
    pod.tell(commands.Emit(msgspec.Raw(b'["x"]'), None, (Room("user:bob"),)))
    assert (a.heard, b.heard) == ([["x"]], [])


def test_an_emitters_message_is_obeyed_and_one_for_others_ignored(pod: Pod) -> None:
    bob = pod.client("bob")
    message = {"method": "emit", "event": "x", "data": [1], "room": "user:bob"}
    pod.publish(
        commands.EMITTER_CHANNEL,
        message | {"namespace": "/other"},
        message | {"namespace": "/chats"},
        message,
    )
    assert bob.heard == [["x", 1]]
    assert pod.count("commands", kind="emit") == 1
    assert pod.count("commands", kind="malformed") == 0
    assert pod.count("unsupported", kind="namespace") == 2


def packed(
    event: str, *arguments: object, nsp: str = "/chats", but: tuple[str, ...] = (), **options: Any
) -> bytes:
    """An emit of `@socket.io/redis-emitter`."""
    packet = {"type": 2, "data": [event, *arguments], "nsp": nsp}
    return msgspec.msgpack.encode(["emitter", packet, {"except": but, **options}])


def test_an_emit_in_msgpack_is_obeyed_whatever_room_its_channel_names(pod: Pod) -> None:
    a, b = pod.client("alice", "c-1"), pod.client("bob", "c-1")
    pod.publish("socket.io#/chats#", packed("x", 1), packed("x", 2, rooms=["user:bob", "chat:c-1"]))
    pod.publish("socket.io#/chats#user:bob#", packed("x", 3, rooms=["user:bob"]))
    pod.publish("socket.io#/chats#chat:c-1#", packed("x", 4, rooms=["chat:c-1"], but=("user:bob",)))
    pod.publish("socket.io#/chats#", packed("x", 5, nsp="/other"), packed("disconnect"), b"\xc1")
    assert a.heard == [["x", 1], ["x", 2], ["x", 4]]
    assert b.heard == [["x", 1], ["x", 2], ["x", 3]]
    assert pod.count("commands", kind="emit") == 4
    assert pod.count("commands", kind="malformed") == 2
    assert pod.count("unsupported", kind="namespace") == 1


def test_the_key_of_the_emitters_decides_which_channels_are_theirs() -> None:
    pod = Pod(emitters=EmitterChannels("app"))
    bob = pod.client("bob")
    pod.publish("socket.io#/chats#", packed("x", 1))
    pod.publish("app#/chats#", packed("x", 2))
    assert bob.heard == [["x", 2]]


def test_sockets_join_and_leave_as_an_emitter_asks(pod: Pod) -> None:
    tabs = [pod.client("bob"), pod.client("bob", "c-2")]
    other = pod.client("alice")
    everyone = [*tabs, other]

    def ask(kind: int, rooms: list[str], *who: str, but: tuple[str, ...] = ()) -> None:
        opts = {"rooms": who, "except": but}
        pod.publish("socket.io-request#/chats#", {"type": kind, "opts": opts, "rooms": rooms})

    def members(room: str) -> set[Member]:
        return set(pod.rooms.members(room))

    ask(2, ["team", "7"], "user:bob", "user:nobody")
    assert members("team") == members("7") == {tab.member for tab in tabs}
    ask(2, ["all"])
    ask(2, ["some"], but=("chat:c-2",))
    assert members("all") == {one.member for one in everyone}
    assert members("some") == {tabs[0].member, other.member}
    pod.ended.clear()
    ask(3, ["team"], "team")
    ask(3, ["all"], "user:bob", "user:alice", but=("chat:c-2",))
    ask(3, ["some"])
    assert (members("team"), members("all"), members("some")) == (set(), {tabs[1].member}, set())
    assert pod.ended == [
        ("team", "team"),
        ("all", "user:bob"),
        ("all", "user:alice"),
        ("some", None),
    ]
    assert pod.count("commands", kind="regroup") == 6


def test_an_emitters_join_counts_from_its_place_in_the_batch(pod: Pod) -> None:
    bob = pod.client("bob")
    asked = {"type": 2, "opts": {"rooms": ["user:bob"]}, "rooms": ["team"]}
    event = ("socket.io#/chats#team#", packed("x", 1, rooms=["team"]))
    pod.take([published(*event), published("socket.io-request#/chats#", asked), published(*event)])
    assert bob.heard == [["x", 1]]
    assert pod.moved == [bob.member]


def test_an_emitters_disconnect_is_passed_on(pod: Pod) -> None:
    asked = {"type": 4, "opts": {"rooms": ["user:bob"], "except": ["chat:1"]}, "close": True}
    pod.publish("socket.io-request#/chats#", asked)
    assert pod.disconnected == [DisconnectAll((Room("user:bob"),), (Room("chat:1"),))]


def test_a_volatile_emit_is_sent_now_and_to_nobody_later(pod: Pod) -> None:
    bob = pod.client("bob")
    lasting, volatile = (
        packed("x", flag, rooms=["user:bob"], flags={"volatile": flag}) for flag in (False, True)
    )
    pod.publish("socket.io#/chats#user:bob#", lasting, volatile)
    assert bob.heard == [["x", False], ["x", True]]
    assert pod.relay.read(b"socket.io#/chats#user:bob#", lasting) is not None
    assert pod.relay.read(b"socket.io#/chats#user:bob#", volatile) is None


def test_an_emit_that_becomes_too_large_is_dropped_like_one_that_is(
    pod: Pod, logged: list[EventDict]
) -> None:
    bob = pod.client("bob")
    grows = packed("x", [None] * (MAX_EVENT_BYTES // 2), rooms=["user:bob"])
    assert len(grows) < MAX_EVENT_BYTES
    pod.publish("socket.io#/chats#user:bob#", grows, packed("x", b"x" * MAX_EVENT_BYTES))
    assert bob.heard == []
    assert pod.count("commands", kind="too_large") == 2
    assert [line["channel"] for line in logged] == ["socket.io"] * 2, "without the room"
    assert pod.relay.read(b"socket.io#/chats#user:bob#", grows) is None


def test_rooms_of_an_emitter_that_are_no_ids_are_counted_under_its_key(pod: Pod) -> None:
    bob = pod.client("bob")
    pod.publish("socket.io#/chats#", packed("x", 1, rooms=["user:bob", 1.5]))
    assert bob.heard == [["x", 1]]
    assert pod.count("invalid_ids", channel="socket.io") == 1


def test_a_broken_command_costs_itself_only(pod: Pod, logged: list[EventDict]) -> None:
    bob = pod.client("bob")
    good = emit("x", 1, "user:bob")
    pod.publish(DEFAULT.commands, "{SECRET", b"\xff", '{"type":"emit","args":["\xff"],"rooms":[]}')
    pod.publish(commands.EMITTER_CHANNEL, "{SECRET", '{"method":"emit","namespace":"/chats"}')
    pod.tell(good)
    assert bob.heard == [["x", 1]]
    assert pod.count("commands", kind="malformed") == len(logged)
    assert len(logged) >= 4
    assert "SECRET" not in str(logged)


def test_joining_and_leaving_count_from_their_place_in_the_batch(pod: Pod) -> None:
    tabs = [pod.client("bob"), pod.client("bob")]
    other = pod.client("alice")
    join, leave = (order(Room("user:bob"), Room("team")) for order in (Join, Leave))
    pod.tell(
        emit("x", "before", "team"),
        join,
        join,
        emit("x", "inside", "team"),
        leave,
        emit("x", "after", "team"),
    )
    assert [tab.heard for tab in tabs] == [[["x", "inside"]]] * 2
    assert set(pod.moved) == {tab.member for tab in tabs}
    assert other.heard == []
    assert pod.rooms.room_count == 2
    assert pod.count("commands", kind="join") == 2
    assert pod.count("commands", kind="leave") == 1


def test_an_emptied_room_loses_everyone_and_keeps_what_came_before(pod: Pod) -> None:
    a, b = pod.client("alice", "c-1"), pod.client("bob", "c-1")
    room = chat_room(ChatId("c-1"))
    pod.tell(emit("x", 1, room), Empty(room), emit("x", 2, room))
    assert (a.heard, b.heard) == ([["x", 1]], [["x", 1]])
    assert not pod.rooms.members(room)
    assert set(pod.moved) == {a.member, b.member}


def test_an_event_may_remove_a_user_from_a_room_after_it_was_told(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        """
        [[route]]
        channel = "chat:memberRemoved"
        event = "member-removed"
        keys = ["userId"]
        to = ["chat:{chatId}"]
        removes = { who = "user:{userId}", from = "chat:{chatId}" }
        """
    )
    pod = Pod(compiled(file))
    tabs, other = [pod.client("bob", "c-1") for _ in range(2)], pod.client("alice", "c-1")
    removal = {"userId": "bob", "chatId": "c-1"}
    pod.publish("chat:memberRemoved", removal, removal)

    assert [tab.heard for tab in tabs] == [[["member-removed", {"userId": "bob"}]]] * 2
    assert other.heard == [["member-removed", {"userId": "bob"}]] * 2
    assert set(pod.moved) == {tab.member for tab in tabs}
    assert list(pod.rooms.members(chat_room(ChatId("c-1")))) == [other.member]


def test_who_remembers_memberships_is_told_of_every_end_even_without_a_member_here(
    pod: Pod,
) -> None:
    room = chat_room(ChatId("c-1"))
    pod.publish("chat:deleted", {"chatId": "c-1"})
    pod.tell(Empty(room), Leave(Room("user:bob"), room), Join(Room("user:bob"), room))
    assert pod.ended == [(room, None), (room, None), (room, "user:bob")]


def test_a_disconnect_is_passed_on_and_holds_up_nothing(pod: Pod) -> None:
    bob = pod.client("bob")
    order = Disconnect(Room("user:bob"), "kicked", "constellation:reply:x", 7)
    pod.tell(order, emit("x", 1, "user:bob"))
    assert (bob.heard, pod.disconnected) == ([["x", 1]], [order])


def test_what_comes_by_the_log_carries_its_offset_to_who_wants_it(pod: Pod) -> None:
    wants, plain = pod.client("bob", "c-1"), pod.client("bob", "c-1")
    wants.member.has_offsets = True
    encoded = json.loads(commands.encode(emit("x", 1, "user:bob")))
    pod.log(
        ("5-0", "chat:new", {"userId": "bob"}),
        ("5-1", "chat:new", {"text": "to nobody"}),
        ("6-0", DEFAULT.commands, encoded),
        ("6-1", "chat:deleted", {"chatId": "c-1"}),
        ("6-2", "chat:deleted", {"chatId": "c-1"}),
    )
    pod.publish("chat:new", {"userId": "bob", "chatId": "by Pub/Sub"})
    events: list[list[Any]] = [["new-chat", {}], ["x", 1], ["chat-deleted", {"chatId": "c-1"}]]
    live = ["new-chat", {"chatId": "by Pub/Sub"}]
    assert plain.heard == [*events, live]
    offsets = ["5-0", "6-0", "6-1"]
    assert wants.heard == [
        *[[*event, offset] for event, offset in zip(events, offsets, strict=True)],
        live,
    ]
    assert pod.count("events", channel="chat:new", outcome="malformed") == 1


def test_an_entry_is_read_without_being_carried_out(pod: Pod) -> None:
    bob = pod.client("bob")
    message = pod.relay.read(*published("chat:new", {"userId": "bob"}))
    assert isinstance(message, RoutedEvent)
    assert (message.event, list(message.rooms)) == ("new-chat", ["user:bob"])
    join = Join(Room("user:bob"), Room("team"))
    assert pod.relay.read(DEFAULT.commands.encode(), commands.encode(join)) == join
    for channel in ("chat:new", DEFAULT.commands, commands.EMITTER_CHANNEL, "who knows"):
        assert pod.relay.read(channel.encode(), b"{oops") is None
    assert pod.relay.read(*published("chat:messageRead", {"userId": 1, "messageIds": []})) is None
    assert (bob.heard, bob.member.rooms) == ([], {"user:bob"})


def test_questions_about_rooms_are_passed_on_to_be_answered(pod: Pod) -> None:
    question = ListMembers(Room("chat:1"), "", 10, "reply", 1)
    of_an_operator = Inspect(msgspec.Raw(b'{"type":"status"}'), "reply", 2)
    pod.tell(question, of_an_operator)
    assert pod.listed == [question, of_an_operator]


def test_fences_and_handovers_are_passed_to_whom_they_concern(pod: Pod) -> None:
    pod.tell(Fence("sid-1", "owner-1"), Handover())
    assert (pod.fenced, pod.handovers) == ([("sid-1", "owner-1")], 1)


def test_a_socket_that_has_closed_is_passed_over(pod: Pod) -> None:
    gone, here = pod.client("bob"), pod.client("bob")
    gone.closed = True
    pod.publish("chat:new", {"userId": "bob"})
    assert (gone.heard, here.heard) == ([], [["new-chat", {}]])


class Watcher:
    """What the relay tells of what it does, in place of the spans that come of it."""

    is_on = True

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def begin_batch(self) -> None:
        self.told.append(("begin",))

    def wants(self, traceparent: Slice) -> bool:
        return traceparent is not msgspec.UNSET

    def deliver(self, name: str, passed: Passed, rooms: object, frame: Frame, to: object) -> None:
        self.told.append(("deliver", name, passed.channel, passed.offset, rooms))

    def take_exemplar(self) -> dict[str, str]:
        """As if the sampler had taken what came from the log first."""
        return {"trace_id": "0af7", "span_id": "b7ad"} if self.told[-1][-2] == b"5-1" else {}

    def drop(self, passed: Passed, outcome: str) -> Span:
        self.told.append((outcome, passed.channel))
        return INVALID_SPAN

    def end_batch(self, events: int) -> None:
        self.told.append(("end", events))


def test_who_watches_is_told_what_becomes_of_each_event_that_carries_a_context() -> None:
    watcher = Watcher()
    pod = Pod(compiled(is_traced=True), cast("Tracing", watcher))
    bob = pod.client("bob")
    context = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    emitted = json.loads(commands.encode(emit("x", 1, "user:bob")))
    pod.log(
        ("5-1", "chat:new", {"userId": "bob", "chatId": 1, **context}),
        ("5-2", "chat:new", {"userId": "bob"}),
        ("5-3", "chat:new", {"userId": "nobody", **context}),
        ("5-4", "chat:new", {"userId": "nobody"}),
        ("5-5", "chat:messageRead", {"userId": "bob", "messageIds": [], **context}),
        ("5-6", "chat:new", context),
        ("5-7", DEFAULT.commands, {**emitted, **context}),
        ("5-8", DEFAULT.commands, emitted),
    )
    assert watcher.told == [
        ("begin",),
        ("deliver", "new-chat", "chat:new", b"5-1", ["user:bob"]),
        ("no_recipient", "chat:new"),
        ("nothing_to_send", "chat:messageRead"),
        ("malformed", "chat:new"),
        ("deliver", "emitted", DEFAULT.commands, b"5-7", ("user:bob",)),
        ("end", 8),
    ]
    # The times of all four that were delivered are told, and of which trace one was.
    registry = pod.metrics.registry
    assert registry.get_sample_value("constellation_publish_to_write_seconds_count") == 4
    assert registry.get_sample_value("constellation_write_duration_seconds_count") == 1
    for durations in (pod.metrics.publish_to_write, pod.metrics.write_duration):
        (family,) = durations.collect()
        shown = [sample.exemplar for sample in family.samples if sample.exemplar is not None]
        assert [exemplar.labels for exemplar in shown] == [{"trace_id": "0af7"}]
    # Clients hear nothing of it.
    assert bob.heard == [["new-chat", {"chatId": 1}], ["new-chat", {}], ["x", 1], ["x", 1]]
    pod.publish("chat:new", {"userId": "nobody"})
    assert watcher.told[-2:] == [("begin",), ("end", 1)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TABLE, DEFAULT.commands, commands.EMITTER_CHANNEL, "who knows"]),
            st.binary(max_size=30),
        ),
        max_size=5,
    )
)
def test_any_bytes_on_any_channel_are_survived(batch: list[tuple[str, bytes]]) -> None:
    pod = Pod()
    bob = pod.client("bob")
    with capture_logs():
        pod.relay.deliver([*(published(*one) for one in batch)])
    pod.publish("chat:new", {"userId": "bob"})
    assert bob.heard == [["new-chat", {}]]
    assert pod.disconnected == []


@given(
    st.sampled_from([*TABLE, DEFAULT.commands]),
    st.none() | st.integers() | st.text() | st.from_regex(r"..-[0-9a-f]{32}-[0-9a-f]{16}-.[01]"),
    st.none() | st.lists(st.integers()) | st.text(),
)
def test_whatever_calls_itself_a_context_costs_no_event(
    channel: str, traceparent: object, tracestate: object
) -> None:
    seen = Seen()
    pod = Pod(compiled(is_traced=True), seen.tracing)
    bob = pod.client("bob")
    encoded = json.loads(commands.encode(emit("new-chat", {}, "user:bob")))
    event = {"userId": "bob", "recipientId": "bob", "participants": ["bob"], "messageIds": [1]}
    event |= {"notifyUsers": ["bob"], "userId": "x" if channel == "chat:typing" else "bob"}
    context = {"traceparent": traceparent, "tracestate": tracestate}
    with capture_logs():
        pod.publish(channel, (encoded if channel == DEFAULT.commands else event) | context)
    pod.publish("chat:new", {"userId": "bob"})
    seen.written()
    is_refused = channel == DEFAULT.commands and not isinstance(traceparent, str)
    assert len(bob.heard) == (1 if is_refused else 2)


def test_an_event_of_a_volatile_route_is_sent_now_and_to_nobody_later() -> None:
    row = RouteRow(
        "position", "moved", ("lat",), ("user:{userId}",), namespace="/chats", volatile=True
    )
    pod = Pod(compile_table([row]))
    bob = pod.client("bob")
    pod.publish("position", {"userId": "bob", "lat": 1})
    assert bob.heard == [["moved", {"lat": 1}]]
    assert pod.relay.read(*published("position", {"userId": "bob", "lat": 1})) is None


def test_an_event_with_acks_has_their_id_and_everybody_is_named_who_got_it(pod: Pod) -> None:
    alice, bob = pod.client("alice"), pod.client("bob")
    request = commands.AckRequest(7, "reply", 1_000)
    question = msgspec.structs.replace(emit("q", 1, "user:bob"), ack=request)

    pod.tell(question, msgspec.structs.replace(question, rooms=(Room("user:nobody"),)))

    assert (alice.packets, bob.packets) == ([], ['42/chats,7["q", 1]'])
    assert pod.asked == [
        Asked(request, frozenset({"user:bob"}), (bob.member.sid,)),
        Asked(request, frozenset({"user:nobody"}), ()),  # who may come with a session that moves
    ]
