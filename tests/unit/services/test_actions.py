"""What services may do, whatever port they use: what `nest` does not cover already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import msgspec
import pytest

from constellation_ws.chats.presence import PresenceUnavailable
from constellation_ws.messages import commands
from constellation_ws.messages.acks import Acks
from constellation_ws.messages.commands import DisconnectAll, Emit, Regroup
from constellation_ws.messages.events import Room, Sid, UserId
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io import ack_collection
from constellation_ws.redis_io.ack_collection import AckCollections
from constellation_ws.redis_io.asking import Acked, Reached
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.services.actions import Actions
from constellation_ws.services.once import RetryKey
from constellation_ws.services.refusals import PartlyPublished, RequestRefused
from constellation_ws.services.sending import Message, Sending, Sent
from tests.seen_spans import Seen
from tests.spawning import spawn
from tests.tables import compiled

TABLE = compiled()
MAX_EVENT_BYTES = 1_000
KEY = RetryKey("billing", "key-1", "")


def new_chat(user: object) -> Message:
    return "chat:new", msgspec.json.encode({"userId": user})


class Redis:
    """What is sent to Redis, and what of it is refused."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.sent_once: list[Message] = []
        self.refused: set[bytes] = set()

    async def send_all(self, messages: Sequence[Message]) -> list[Sent | RedisUnavailable]:
        self.sent += messages
        return [
            RedisUnavailable("Redis is away") if payload in self.refused else f"{number}-0"
            for number, (_, payload) in enumerate(messages)
        ]


class Once:
    """Keeps what is sent with a retry key."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def send_all(self, retry_key: RetryKey, messages: Sequence[Message]) -> list[Sent]:
        assert retry_key == KEY
        if self._redis.refused:
            raise RedisUnavailable("Redis is away")
        self._redis.sent_once += messages
        return ["7-0"] * len(messages)


class Bus:
    """Pods that answer who is in a room: the users, and whether all have answered."""

    instance, reply_channel = "pod-1", "reply"

    def __init__(self, users: Sequence[str] = (), *, is_complete: bool = True) -> None:
        self.acks = AckCollections()
        self._answer = [UserId(user) for user in users], is_complete

    async def list_members(
        self, room: Room, cursor: str, limit: int, pods: Collection[str]
    ) -> tuple[list[UserId], bool]:
        assert (room, pods) == ("chat:1", {"pod-1"})
        users, is_complete = self._answer
        return [user for user in users if user > cursor][:limit], is_complete


class Presence:
    """Knows which pods there are, unless Redis is away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self._is_away = is_away

    async def pods(self) -> set[str]:
        if self._is_away:
            raise PresenceUnavailable("Redis is away")
        return {"pod-1"}


def actions(
    redis: Redis | None = None,
    bus: Bus | None = None,
    tracing: Tracing | NoTracing = NO_TRACING,
    presence: Presence | None = None,
) -> Actions:
    redis = redis or Redis()
    return Actions(
        cast("Any", bus),
        cast("Any", presence or Presence()),
        TABLE,
        Sending(redis.send_all, spawn),
        cast("Any", Once(redis)),
        tracing,
        max_event_bytes=MAX_EVENT_BYTES,
    )


async def test_events_are_published_in_their_order() -> None:
    redis, events = Redis(), [new_chat(1), new_chat(2), new_chat(3)]

    assert await actions(redis).publish_all(events, None) == ["0-0", "1-0", "2-0"]
    assert redis.sent == events


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (("chat:nowhere", b"{}"), "unknown_channel", "'chat:nowhere' is no channel of the route"),
        (("chat:new", b"[]"), "invalid_request", "chat:new: not a JSON object"),
        (("chat:new", b"{}"), "invalid_request", "chat:new: lacks the keys that name its"),
        (new_chat("u" * MAX_EVENT_BYTES), "too_large", "the event has 1,013 bytes; CONSTELL"),
    ],
)
async def test_one_event_at_fault_keeps_all_from_being_published(
    fault: Message, code: str, sentence: str
) -> None:
    redis = Redis()

    with pytest.raises(RequestRefused) as alone:
        await actions(redis).publish_all([fault], None)
    with pytest.raises(RequestRefused) as among:
        await actions(redis).publish_all([new_chat(1), fault], KEY)

    assert (alone.value.code, among.value.code) == (code, code)
    assert alone.value.message.startswith(sentence)
    assert among.value.message == f"event 2: {alone.value.message}"
    assert redis.sent + redis.sent_once == []


async def test_with_a_retry_key_events_are_sent_once() -> None:
    redis, events = Redis(), [new_chat(1), new_chat(2)]

    assert await actions(redis).publish_all(events, KEY) == ["7-0", "7-0"]
    assert (redis.sent, redis.sent_once) == ([], events)


@pytest.mark.parametrize("retry_key", [None, KEY])
async def test_a_redis_that_accepts_nothing_is_unavailable(retry_key: RetryKey | None) -> None:
    redis, events = Redis(), [new_chat(1), new_chat(2)]
    redis.refused = {payload for _, payload in events}

    with pytest.raises(RequestRefused) as caught:
        await actions(redis).publish_all(events, retry_key)

    assert (caught.value.code, caught.value.message) == ("unavailable", "Redis is away")


async def test_what_redis_accepted_of_a_list_is_told() -> None:
    redis, events = Redis(), [new_chat(1), new_chat(2), new_chat(3)]
    redis.refused = {events[1][1]}

    with pytest.raises(PartlyPublished) as caught:
        await actions(redis).publish_all(events, None)

    assert caught.value.accepted == [True, False, True]
    assert caught.value.message.startswith("2 of 3 events were published")


async def test_an_emission_may_be_sent_once() -> None:
    redis = Redis()

    await actions(redis).emit_once(Room("chat:1"), "e", msgspec.Raw(b"1"), KEY)

    ((_, payload),) = redis.sent_once
    command = commands.decode(payload)
    assert isinstance(command, Emit)
    assert (command.args, command.rooms) == (msgspec.Raw(b'["e",1]'), ("chat:1",))


async def test_a_room_or_a_socket_is_moved_and_disconnected_by_its_name() -> None:
    redis = Redis()

    sid, first, second = Room("sid"), Room("chat:1"), Room("chat:2")
    await actions(redis).regroup(sid, "/chats", enters=[first], leaves=[second])
    await actions(redis).disconnect_all(first, "")

    assert [commands.decode(payload) for _, payload in redis.sent] == [
        Regroup((sid,), (), enters=(first,), leaves=(second,)),
        DisconnectAll((first,), ()),
    ]
    with pytest.raises(RequestRefused):
        await actions(redis).disconnect_all(first, "/nowhere")


async def test_published_events_carry_their_own_trace_on() -> None:
    redis, seen = Redis(), Seen()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = msgspec.json.encode({"userId": 1, "traceparent": parent})

    await actions(redis, tracing=seen.tracing).publish_all([("chat:new", event)], None)

    ((_, payload),) = redis.sent
    carried = msgspec.json.decode(payload)["traceparent"]
    assert carried.split("-")[1] == parent.split("-")[1]
    assert carried != parent


async def test_members_come_a_page_at_a_time() -> None:
    bus = Bus(["u1", "u2", "u3"])

    first = await actions(bus=bus).members(Room("chat:1"), "", 2)
    last = await actions(bus=bus).members(Room("chat:1"), first.cursor or "", 2)

    assert (first.users, first.cursor, first.is_complete) == (["u1", "u2"], "u2", True)
    assert (last.users, last.cursor, last.is_complete) == (["u3"], None, True)


async def test_a_page_that_lacks_the_users_of_a_pod_says_so() -> None:
    bus = Bus(["u1"], is_complete=False)

    page = await actions(bus=bus).members(Room("chat:1"), "", 2)

    assert (page.users, page.is_complete) == (["u1"], False)


class Answering(Redis):
    """A Redis with a pod behind it, which answers at once."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    async def send_all(self, messages: Sequence[Message]) -> list[Sent | RedisUnavailable]:
        ((_, payload),) = messages
        command = commands.decode(payload)
        assert isinstance(command, Emit)
        assert command.ack is not None
        assert (command.rooms, command.ack.reply_to) == (("user:bob",), "reply")
        answers = (Reached([Sid("s1")], "pod-1"), Acked(Sid("s1"), msgspec.Raw(b"1")))
        for answer in answers:
            self._bus.acks.add(command.ack.id, answer)
        return await super().send_all(messages)


async def test_the_acks_of_all_pods_are_waited_for() -> None:
    bus = Bus()
    asked = actions(Answering(bus), bus)

    acks = await asked.emit_with_ack(Room("user:bob"), "e", msgspec.Raw(b"1"), 60_000)

    assert acks == Acks({Sid("s1"): msgspec.Raw(b"1")}, 0, is_complete=True)


async def test_what_there_is_in_time_is_given_where_it_is_not_known_which_pods_there_are() -> None:
    bus = Bus()
    asked = actions(Answering(bus), bus, presence=Presence(is_away=True))

    acks = await asked.emit_with_ack(Room("user:bob"), "e", msgspec.Raw(b"1"), 1)

    assert acks == Acks({Sid("s1"): msgspec.Raw(b"1")}, 0, is_complete=False)


async def test_an_event_with_acks_is_refused_where_too_many_wait_or_redis_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away(Redis):
        async def send_all(self, messages: Sequence[Message]) -> list[Sent | RedisUnavailable]:
            return [RedisUnavailable("Redis is away")] * len(messages)

    asked = actions(Away(), Bus())
    with pytest.raises(RequestRefused) as refused:
        await asked.emit_with_ack(Room("user:bob"), "e", msgspec.Raw(b"1"), 1)
    assert refused.value.code == "unavailable"
    monkeypatch.setattr(ack_collection, "MAX_COLLECTED", 0)
    with pytest.raises(RequestRefused) as refused:
        await asked.emit_with_ack(Room("user:bob"), "e", msgspec.Raw(b"1"), 1)
    assert refused.value.code == "overloaded"
