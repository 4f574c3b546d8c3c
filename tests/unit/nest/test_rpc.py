"""The patterns of the TCP port, with a real bus and real presence on a real Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from redis.asyncio import Redis

from constellation_ws import __version__
from constellation_ws.chats.presence import Presence
from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.messages import commands
from constellation_ws.messages.commands import Command, Disconnect, Emit, Join, Leave
from constellation_ws.messages.events import UNSENDABLE_EVENTS, Room, Sid, UserId
from constellation_ws.nest.rpc import REQUESTS, Rpc
from constellation_ws.nest.shapes import MAX_PAGE
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.asking import Acked, Reached
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.services.actions import Actions
from constellation_ws.services.once import PUBLISHING, Once
from constellation_ws.services.refusals import RequestRefused
from constellation_ws.services.sending import Sending
from tests.event_cases import event_cases
from tests.pod_parts import Listener
from tests.processes import HOST, Valkey, unused_port
from tests.seen_spans import Seen
from tests.spawning import spawn
from tests.tables import compiled
from tests.waiting import PATIENCE_SECONDS, eventually

TABLE = compiled()
MAX_EVENT_BYTES = 10_000
PATTERNS = {
    "ping",
    "isUserOnline",
    "getOnlineUsers",
    "sendToUser",
    "sendToRoom",
    "joinRoom",
    "leaveRoom",
    "disconnectUser",
}


class Pod:
    """A pod's TCP side, and what Redis brings to all pods because of it."""

    def __init__(self, redis: Redis, tracing: Tracing | NoTracing = NO_TRACING) -> None:
        self.bus = RedisBus(redis, TABLE, Metrics())
        self.presence = Presence(redis, self.bus.instance)
        self.listener = Listener()
        actions = Actions(
            self.bus.all_pods,
            self.presence,
            TABLE,
            Sending(self.bus.publisher.publish_all, spawn),
            Once([(redis, DEFAULT)], Partitioning().find, PUBLISHING, 60),
            tracing,
            max_event_bytes=MAX_EVENT_BYTES,
        )
        rpc = Rpc(actions, TABLE, "pod-1", tracing)
        self._patterns = rpc.patterns()

    @property
    def heard(self) -> list[Published]:
        return [message for batch in self.listener.batches for message in batch]

    async def ask(self, pattern: str, data: object) -> Any:
        """The response as NestJS gets it; `data` is JSON text or a value."""
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        return json.loads(msgspec.json.encode(await self._patterns[pattern].handle(raw)))

    async def done(self, pattern: str, data: object) -> Any:
        """The response's data, of a request that succeeded."""
        response = await self.ask(pattern, data)
        assert response.pop("success") is True
        return response.pop("data")

    async def refused(self, pattern: str, data: object) -> RequestRefused:
        with pytest.raises(RequestRefused) as caught:
            await self.ask(pattern, data)
        return caught.value

    async def command(self) -> Command:
        """The one command that was told."""
        await eventually(lambda: self.heard, PATIENCE_SECONDS, "a command is told")
        ((channel, payload),) = self.heard
        assert channel.decode() == DEFAULT.commands
        return commands.decode(payload)


@asynccontextmanager
async def listening(pod: Pod) -> AsyncIterator[Pod]:
    """Let a pod hear what is told."""
    task = asyncio.create_task(pod.bus.run(pod.listener))
    await eventually(
        lambda: pod.bus.disconnected_at is None, PATIENCE_SECONDS, "the subscription stands"
    )
    yield pod
    # It waits for messages here, where no cancellation is lost.
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as redis:
        yield redis
        await redis.flushdb()


@pytest.fixture
async def pod(redis: Redis) -> AsyncIterator[Pod]:
    async with listening(Pod(redis)) as pod:
        yield pod


@pytest.fixture
def traced() -> Seen:
    return Seen()


@pytest.fixture
async def lonely() -> AsyncIterator[Pod]:
    """A pod without a Redis."""
    async with Redis.from_url(f"redis://{HOST}:{unused_port()}") as redis:
        yield Pod(redis)


async def test_the_patterns_are_the_contracts_and_the_tables_channels(pod: Pod) -> None:
    assert set(pod._patterns) == PATTERNS | set(TABLE)
    assert PATTERNS == set(REQUESTS) == commands.REQUESTS  # which no channel may be named after


async def test_patterns_that_only_ask_are_told_from_those_that_change_something(pod: Pod) -> None:
    questions = {name for name, pattern in pod._patterns.items() if pattern.is_question}
    assert questions == {"ping", "isUserOnline", "getOnlineUsers"}


async def test_what_is_sent_keeps_the_order_in_which_it_was_asked_for(pod: Pod) -> None:
    """Requests are begun in their order, and none waits for another."""
    numbers = range(1_000)
    asked = [
        pod.done("sendToUser", {"userId": "u1", "event": "e", "data": number})
        if number % 2
        else pod.done("chat:new", {"userId": "u1", "chatId": number})
        for number in numbers
    ]
    assert await asyncio.gather(*asked) == [{"accepted": True}] * len(numbers)
    await eventually(lambda: len(pod.heard) == len(numbers), PATIENCE_SECONDS, "all are sent")
    sent = [
        json.loads(payload)["chatId"] if channel == b"chat:new" else json.loads(payload)["args"][1]
        for channel, payload in pod.heard
    ]
    assert sent == list(numbers)


async def test_a_user_gets_what_was_sent_before_the_disconnect(pod: Pod) -> None:
    sent = [
        asyncio.create_task(pod.done("sendToUser", {"userId": 1, "event": "e", "data": number}))
        for number in range(300)
    ]
    disconnecting = asyncio.create_task(pod.done("disconnectUser", {"userId": 1}))
    await eventually(lambda: len(pod.heard) == 301, PATIENCE_SECONDS, "all are told")
    command = commands.decode(pod.heard[-1][1])
    assert isinstance(command, Disconnect)
    await pod.bus.all_pods.answer_disconnect(command, 1)
    assert await disconnecting == {"disconnected": 1}
    await asyncio.gather(*sent)


@pytest.mark.parametrize("data", [None, {}, "x", b"null", [1]])
async def test_ping_says_which_pod_and_version_it_is(pod: Pod, data: object) -> None:
    assert await pod.done("ping", data) == {"pong": True, "version": __version__, "pod": "pod-1"}


@pytest.mark.parametrize("number", ["1.0", "1e0", "1"])
async def test_a_number_with_a_whole_value_is_that_users_id(pod: Pod, number: str) -> None:
    pod.presence.arrive(UserId("1"))
    user = f'{{"userId": {number}, "event": "e", "roomName": "r"}}'.encode()
    assert await pod.done("isUserOnline", user) == {"userId": 1, "online": True}
    await pod.done("sendToUser", user)
    assert await pod.command() == Emit(msgspec.Raw(b'["e",null]'), (Room("user:1"),))


@pytest.mark.parametrize("user", ["u1", 42])
async def test_a_user_is_asked_for_by_string_or_number_and_named_as_asked(
    pod: Pod, user: str | int
) -> None:
    assert await pod.done("isUserOnline", {"userId": user}) == {"userId": user, "online": False}
    pod.presence.arrive(UserId(str(user)))
    assert await pod.done("isUserOnline", {"userId": user}) == {"userId": user, "online": True}


async def test_who_is_online_comes_in_pages(pod: Pod) -> None:
    for number in range(5):
        pod.presence.arrive(UserId(f"u{number}"))
    everyone = {"users": ["u0", "u1", "u2", "u3", "u4"]}
    assert await pod.done("getOnlineUsers", {}) == everyone
    assert await pod.done("getOnlineUsers", b"null") == everyone
    assert await pod.done("getOnlineUsers", {"limit": 5, "cursor": None}) == everyone
    page = await pod.done("getOnlineUsers", {"limit": 2})
    assert page["users"] == ["u0", "u1"]
    page = await pod.done("getOnlineUsers", {"limit": 2, "cursor": page["cursor"]})
    assert page["users"] == ["u2", "u3"]
    page = await pod.done("getOnlineUsers", {"limit": 2, "cursor": page["cursor"]})
    assert page == {"users": ["u4"]}


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1, 1.5, "2", None])
async def test_a_page_of_an_impossible_size_is_refused(pod: Pod, limit: object) -> None:
    assert (await pod.refused("getOnlineUsers", {"limit": limit})).code == "invalid_request"


@pytest.mark.parametrize(
    ("pattern", "address", "room"),
    [
        ("sendToUser", {"userId": "u1"}, "user:u1"),
        ("sendToUser", {"userId": 42}, "user:42"),
        ("sendToRoom", {"room": "chat:c 1"}, "chat:c 1"),
    ],
)
async def test_an_event_is_sent_to_every_pod_with_its_data_untouched(
    pod: Pod, pattern: str, address: dict[str, Any], room: str
) -> None:
    text = '{ "n": 12345678901234567890.50, "t": "Привет \\u0041 👋" }'
    request = f'{json.dumps(address)[:-1]}, "event": "hello", "data": {text}}}'
    assert await pod.done(pattern, request.encode()) == {"accepted": True}
    assert await pod.command() == Emit(msgspec.Raw(f'["hello",{text}]'.encode()), (Room(room),))


async def test_an_event_without_data_has_null_for_its_argument(pod: Pod) -> None:
    await pod.done("sendToUser", {"userId": "u1", "event": "hello"})
    assert await pod.command() == Emit(msgspec.Raw(b'["hello",null]'), (Room("user:u1"),))


async def test_the_acks_of_a_users_sockets_are_answered(pod: Pod) -> None:
    request = {"userId": "u1", "event": "hello", "ack": {"timeout_ms": 4_000}}
    asking = asyncio.create_task(pod.done("sendToUser", request))
    command = await pod.command()
    assert isinstance(command, Emit)
    assert command.ack is not None
    for answer in (Reached([Sid("s1"), Sid("s2")], pod.bus.instance), Acked(Sid("s1"), Raw(b"1"))):
        await pod.bus.all_pods.answer_ack(command.ack, answer)
    await pod.bus.all_pods.answer_ack(command.ack, Acked(Sid("s2"), Raw(b'"\\ud83d"')))
    assert await asking == {
        "accepted": True,
        "acks": [{"sid": "s1", "data": 1}, {"sid": "s2", "data": "\ud83d"}],
        "delivered": 2,
        "unanswered": 0,
        "complete": True,
    }


@pytest.mark.parametrize("ack", [{}, {"timeout_ms": 0}, {"timeout_ms": 4_001}, {"timeout": 1}, 1])
async def test_acks_that_cannot_be_waited_for_are_refused(pod: Pod, ack: object) -> None:
    request = {"userId": "u1", "event": "hello", "ack": ack}
    assert (await pod.refused("sendToUser", request)).code == "invalid_request"


@pytest.mark.parametrize(("pattern", "command"), [("joinRoom", Join), ("leaveRoom", Leave)])
async def test_a_users_sockets_join_and_leave_rooms_on_every_pod(
    pod: Pod, pattern: str, command: type[Join | Leave]
) -> None:
    request = {"userId": 7, "roomName": "team", "ignored": 1}
    assert await pod.done(pattern, request) == {
        "userId": 7,
        "roomName": "team",
        "status": "success",
    }
    assert await pod.command() == command(Room("user:7"), Room("team"))


@pytest.mark.parametrize(
    ("request_data", "reason"),
    [
        ({"userId": "u1", "reason": "kicked"}, "kicked"),
        ({"userId": "u1"}, ""),
        ({"userId": "u1", "reason": None}, ""),
    ],
)
async def test_a_user_is_disconnected_everywhere_and_the_sockets_counted(
    pod: Pod, request_data: dict[str, Any], reason: str
) -> None:
    asking = asyncio.create_task(pod.done("disconnectUser", request_data))
    command = await pod.command()
    assert isinstance(command, Disconnect)
    assert (command.who, command.reason) == ("user:u1", reason)
    await pod.bus.all_pods.answer_disconnect(command, 3)
    assert await asking == {"disconnected": 3}


@pytest.mark.parametrize("case", [c for c in event_cases() if c.event], ids=lambda c: c.name)
async def test_an_event_of_the_table_is_published_as_it_came(pod: Pod, case: Any) -> None:
    assert await pod.done(case.channel, case.publish.encode()) == {"accepted": True}
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is published")
    assert pod.heard == [(case.channel.encode(), case.publish.encode())]


async def test_what_is_published_and_sent_carries_the_span_that_did_it(
    redis: Redis, traced: Seen
) -> None:
    context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with listening(Pod(redis, traced.tracing)) as pod:
        await pod.done("chat:new", {"userId": 1, "traceparent": context})
        await pod.done("sendToUser", {"userId": 1, "event": "x", "traceparent": context})
        await eventually(lambda: len(pod.heard) == 2, PATIENCE_SECONDS, "both are told")
    published, request = traced.spans
    assert (published.name, request.name) == ("publish chat:new", "sendToUser")
    for span, (_, payload) in zip((published, request), pod.heard, strict=True):
        assert span.context is not None
        ids = (format(span.context.trace_id, "032x"), format(span.context.span_id, "016x"))
        _, *carried, flags = json.loads(payload)["traceparent"].split("-")
        assert (tuple(carried), int(flags, 16) & 1) == (ids, 1)
        assert carried[0] in context
    assert b"traceparent" not in bytes(commands.decode(pod.heard[1][1]).args)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("pattern", "request_data"),
    [
        ("sendToUser", {"userId": "u1", "event": "e"}),
        ("sendToRoom", {"room": "r", "event": "e"}),
        ("chat:newMessage", {"recipientId": "u1"}),
    ],
)
@pytest.mark.parametrize("is_traced", [False, True])
async def test_an_event_that_is_too_large_is_refused_and_the_largest_is_sent_as_it_fits(
    redis: Redis, traced: Seen, pattern: str, request_data: dict[str, Any], is_traced: bool
) -> None:
    key = "data" if "event" in request_data else "text"
    async with listening(Pod(redis, traced.tracing if is_traced else NO_TRACING)) as pod:
        refusal = await pod.refused(pattern, request_data | {key: "x" * MAX_EVENT_BYTES})
        assert refusal.code == "too_large"
        assert f"{MAX_EVENT_BYTES:,}" in refusal.message
        assert pod.heard == []
        for size in range(MAX_EVENT_BYTES - 200, MAX_EVENT_BYTES):
            try:
                await pod.ask(pattern, request_data | {key: "x" * size})
            except RequestRefused:
                break
        await eventually(lambda: len(pod.heard) > 50, PATIENCE_SECONDS, "they are sent")
        assert max(len(payload) for _, payload in pod.heard) == MAX_EVENT_BYTES


async def test_an_event_that_nobody_needs_is_accepted_all_the_same(pod: Pod) -> None:
    nothing = {"userId": "u1", "messageIds": []}
    assert await pod.done("chat:messageRead", nothing) == {"accepted": True}


@pytest.mark.parametrize(
    ("channel", "data"),
    [("chat:new", b"null"), ("chat:new", b"[]"), ("chat:new", {}), ("chat:typing", {"chatId": 1})],
)
async def test_a_malformed_event_is_refused_and_not_published(
    pod: Pod, channel: str, data: object
) -> None:
    refusal = await pod.refused(channel, data)
    assert refusal.code == "invalid_request"
    assert refusal.message.startswith(f"{channel}: ")
    await pod.done("joinRoom", {"userId": 1, "roomName": "r"})
    assert isinstance(await pod.command(), Join)


@pytest.mark.parametrize(
    ("pattern", "data"),
    [
        *((pattern, None) for pattern in sorted(PATTERNS - {"ping", "getOnlineUsers"})),
        *((pattern, {}) for pattern in sorted(PATTERNS - {"ping", "getOnlineUsers"})),
        *((pattern, [1]) for pattern in sorted(PATTERNS - {"ping"})),
        ("isUserOnline", {"userId": ""}),
        ("isUserOnline", {"userId": None}),
        ("isUserOnline", {"userId": True}),
        ("isUserOnline", {"userId": 1.5}),
        ("isUserOnline", {"userId": ["u1"]}),
        ("isUserOnline", b'{"userId": %b}' % (b"9" * 5_000)),
        ("sendToUser", b'{"userId": 1e400, "event": "e"}'),
        ("isUserOnline", "u1"),
        ("getOnlineUsers", {"cursor": 7}),
        ("sendToUser", {"userId": "u1", "event": ""}),
        ("sendToUser", {"userId": "u1", "event": 7}),
        ("sendToRoom", {"room": "", "event": "e"}),
        ("sendToRoom", {"room": 7, "event": "e"}),
        ("joinRoom", {"userId": "u1", "roomName": ""}),
        ("leaveRoom", {"userId": "u1"}),
        ("disconnectUser", {"userId": "u1", "reason": 7}),
        ("sendToUser", b'{"userId": "\xff", "event": "e"}'),
        ("sendToUser", b"[" * 100_000),
    ],
)
async def test_a_request_that_does_not_fit_its_pattern_is_refused(
    pod: Pod, pattern: str, data: object
) -> None:
    refusal = await pod.refused(pattern, data)
    assert refusal.code == "invalid_request"
    assert refusal.message
    assert pod.heard == []


HALF = '"cut \\ud83d"'
"""JSON.stringify of a text that was cut inside an emoji."""
NAMES = [
    *(("isUserOnline", "userId"), ("getOnlineUsers", "cursor"), ("disconnectUser", "userId")),
    *(("sendToUser", "userId"), ("sendToUser", "event"), ("sendToUser", "namespace")),
    *(("sendToRoom", "room"), ("sendToRoom", "event"), ("sendToRoom", "namespace")),
    *(("joinRoom", "userId"), ("joinRoom", "roomName"), ("joinRoom", "namespace")),
    *(("leaveRoom", "userId"), ("leaveRoom", "roomName"), ("leaveRoom", "namespace")),
]


@pytest.mark.parametrize(("pattern", "name"), NAMES)
async def test_half_of_a_surrogate_pair_in_a_name_is_refused_as_such(
    pod: Pod, pattern: str, name: str
) -> None:
    required = {"userId": "u1", "event": "e", "room": "r", "roomName": "r", "data": 1}
    data = json.dumps(required | {name: "\x00"}).replace('"\\u0000"', HALF)
    refusal = await pod.refused(pattern, data.encode())
    assert refusal.code == "invalid_request"
    assert refusal.message == (
        f"`{name}` holds half of a surrogate pair, as a text does that was cut inside an emoji; "
        "send whole characters there"
    )
    assert pod.heard == []


async def test_half_of_a_surrogate_pair_in_an_event_is_sent_as_it_was_written(pod: Pod) -> None:
    data = f'{{"t": {HALF}}}'
    request = f'{{"room":"r","event":"e","data":{data},"ignored":{HALF}}}'
    assert await pod.done("sendToRoom", request.encode()) == {"accepted": True}
    assert await pod.command() == Emit(msgspec.Raw(f'["e",{data}]'.encode()), (Room("r"),))


async def test_half_of_a_surrogate_pair_costs_no_published_event(pod: Pod) -> None:
    event = f'{{"userId":"u1","chatId":{HALF},"withUser":{HALF}}}'.encode()
    assert await pod.done("chat:new", event) == {"accepted": True}
    await eventually(lambda: pod.heard, PATIENCE_SECONDS, "it is published")
    assert pod.heard == [(b"chat:new", event)]


async def test_a_reason_that_was_cut_inside_an_emoji_keeps_nobody_connected(pod: Pod) -> None:
    request = f'{{"userId":"u1","reason":{HALF},"data":{HALF}}}'.encode()
    asking = asyncio.create_task(pod.done("disconnectUser", request))
    command = await pod.command()
    assert isinstance(command, Disconnect)
    assert command.reason == "cut \ufffd"
    asking.cancel()


@pytest.mark.parametrize("event", sorted(UNSENDABLE_EVENTS))
@pytest.mark.parametrize(
    ("pattern", "address"), [("sendToUser", {"userId": "u1"}), ("sendToRoom", {"room": "r"})]
)
async def test_a_name_that_would_end_the_clients_connection_is_refused(
    pod: Pod, pattern: str, address: dict[str, Any], event: str
) -> None:
    refusal = await pod.refused(pattern, address | {"event": event, "data": 1})
    assert refusal.code == "invalid_request"
    assert event in refusal.message


@pytest.mark.parametrize(
    ("pattern", "data"),
    [
        ("isUserOnline", {"userId": "u1"}),
        ("getOnlineUsers", {}),
        ("sendToUser", {"userId": "u1", "event": "e", "data": 1}),
        ("sendToRoom", {"room": "r", "event": "e", "data": 1}),
        ("joinRoom", {"userId": "u1", "roomName": "r"}),
        ("leaveRoom", {"userId": "u1", "roomName": "r"}),
        ("disconnectUser", {"userId": "u1"}),
        ("chat:new", {"userId": "u1"}),
    ],
)
async def test_without_redis_a_request_is_refused_as_unavailable(
    lonely: Pod, pattern: str, data: object
) -> None:
    assert (await lonely.refused(pattern, data)).code == "unavailable"


async def test_a_ping_and_an_own_user_need_no_redis(lonely: Pod) -> None:
    lonely.presence.arrive(UserId("u1"))
    assert (await lonely.done("ping", None))["pong"] is True
    assert (await lonely.done("isUserOnline", {"userId": "u1"}))["online"] is True
