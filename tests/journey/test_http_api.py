"""The HTTP API of two pods: every operation, every refusal, and a Redis that hangs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.http_api import KEY, READER_KEY, WITH_API, ApiClient, api_client
from tests.journey.conftest import Pods, StartGateway
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients
from tests.nest_client import nest_client
from tests.otlp import running_collector
from tests.processes import HOST, REPOSITORY, Valkey, ended_gateway, running_valkey, tcp_stream
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

HUNG_SECONDS = 5.0
"""The deadline of a request."""
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
RATE = 20
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEW_CHAT = {"channel": "chat:new", "data": {"userId": 1}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pods(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Pods]:
    """Two pods with an API. At the end they must leave cleanly."""
    async with gateway(valkey.url, **WITH_API) as a, gateway(valkey.url, **WITH_API) as b:
        yield Pods(a, b)
        for pod in (a, b):
            assert await pod.terminate() == 0
            assert pod.stray_lines() == []


@pytest_asyncio.fixture(loop_scope="session")
async def api(pods: Pods) -> AsyncIterator[ApiClient]:
    """A caller of the first pod, who may do everything."""
    async with api_client(pods.a.api_port) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def other_api(pods: Pods) -> AsyncIterator[ApiClient]:
    """The same caller at the second pod."""
    async with api_client(pods.b.api_port) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as redis:
        yield redis


async def heard(client: JsClient) -> list[str]:
    """The names of a client's events before the one that is called `end`."""
    names = list[str]()
    while (name := (await client.next_event()).event) != "end":
        names.append(name)
    return names


# Operations


async def test_the_acks_of_a_users_connections_are_answered(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    path, body = f"/v1/users/bob{mine}/send", {"event": "question", "ack": {"timeout_ms": 4_000}}
    bob = await js.connect(pods.b.chats_url, user=f"bob{mine}", acks={"question": ["yes"]})

    async with asyncio.timeout(PATIENCE_SECONDS):
        # On a busy machine a pod may answer too late, which is what `complete` is for.
        while not (answer := await api.done("POST", path, body))["complete"]:
            pass

    acks = [{"sid": bob.id, "data": "yes"}]
    counts = {"delivered": 1, "unanswered": 0, "complete": True}
    assert answer == {"accepted": True, "acks": acks, **counts}
    for refused_path, headers in ((path, {"Idempotency-Key": "k"}), ("/v1/rooms/r/send", {})):
        refused = await api.refused("POST", refused_path, body, headers=headers)
        assert refused == (400, "invalid_request")


async def test_an_event_is_published_to_all_pods_and_is_in_the_log(
    pods: Pods, api: ApiClient, js: JsClients, redis: Redis, mine: str
) -> None:
    bob = f"bob{mine}"
    clients = [
        await js.connect(pod.chats_url, user=bob, transports=transports)
        for pod, transports in ((pods.a, WEBSOCKET), (pods.b, POLLING))
    ]
    event = {"chatId": 9007199254740993, "recipientId": bob, "text": "Привет 😀", "x": 1}

    answer = await api.call("POST", "/v1/publish", {"channel": "chat:newMessage", "data": event})

    assert answer.status == 202
    log_id = answer.json()["id"]
    for client in clients:
        received = await client.event("new-message")
        assert received.text.endswith('{"chatId":9007199254740993,"text":"Привет 😀"}]')
    entries: Any = await redis.xrange("constellation:events", log_id, log_id)
    ((_, fields),) = entries
    assert fields[b"channel"] == b"chat:newMessage"
    assert json.loads(fields[b"data"]) == event


async def test_a_list_of_events_keeps_its_order(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.b.chats_url, user=f"bob{mine}")
    events = [
        {"channel": "chat:new", "data": {"userId": bob.user, "chatId": number}}
        for number in range(100)
    ]

    ids = (await api.done("POST", "/v1/publish", events))["ids"]

    assert [(await bob.event("new-chat")).payload["chatId"] for _ in events] == list(range(100))
    assert len(ids) == 100
    assert ids == sorted(ids, key=lambda one: tuple(map(int, one.split("-"))))


async def test_one_event_at_fault_keeps_the_whole_list_from_being_published(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    good = {"channel": "chat:new", "data": {"userId": bob.user, "chatId": 1}}
    last = {"channel": "chat:new", "data": {"userId": bob.user, "chatId": 2}}

    for bad in ({"channel": "chat:new", "data": {}}, {"channel": "nothing", "data": {}}):
        status, _ = await api.refused("POST", "/v1/publish", [good, bad])
        assert status == 400
    await api.done("POST", "/v1/publish", last)

    assert (await bob.event("new-chat")).payload == {"chatId": 2}


async def test_events_are_sent_to_users_and_rooms(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    slash = f"a/b ü{mine}"
    bob = await js.connect(pods.b.chats_url, user=slash)
    await bob.join(f"c{mine}")

    await api.done("POST", f"/v1/users/a%2Fb%20%C3%BC{mine}/send", {"event": "one", "data": [1]})
    await api.done("POST", f"/v1/rooms/chat:c{mine}/send", {"event": "two"})

    assert (await bob.event("one")).arguments == ([1],)
    assert (await bob.event("two")).arguments == (None,)


async def test_presence_is_that_of_the_cluster(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    users = [f"p{number}{mine}" for number in range(3)]
    for pod, user in zip((pods.a, pods.b, pods.b), users, strict=True):
        await js.connect(pod.chats_url, user=user)

    async def are_online() -> bool:
        answers = [await api.done("GET", f"/v1/users/{user}") for user in users]
        return answers == [{"userId": user, "online": True} for user in users]

    await eventually(are_online, PATIENCE_SECONDS, "all are online")
    nobody = f"nobody{mine}"
    assert await api.done("GET", f"/v1/users/{nobody}") == {"userId": nobody, "online": False}
    listed, cursor = list[str](), f"p0{mine}"[:-1]
    while cursor:
        page = await api.done("GET", f"/v1/users?limit=2&cursor={cursor}")
        assert len(page["users"]) <= 2
        listed += page["users"]
        cursor = page.get("cursor", "")
    assert [user for user in listed if user in users] == users


async def test_the_members_of_a_room_are_those_of_all_pods(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    chat, users = f"c{mine}", [f"m{number}{mine}" for number in range(4)]
    for number, user in enumerate(users):
        for pod in pods if number == 0 else (pods.a, pods.b)[number % 2 :][:1]:
            client = await js.connect(pod.chats_url, user=user)
            await client.join(chat)

    async def all_answer() -> bool:
        return bool((await api.done("GET", f"/v1/rooms/chat:{chat}/members"))["complete"])

    await eventually(all_answer, PATIENCE_SECONDS, "no killed pod counts as alive any more")
    first = await api.done("GET", f"/v1/rooms/chat:{chat}/members?limit=3")
    last = await api.done("GET", f"/v1/rooms/chat:{chat}/members?limit=3&cursor={first['cursor']}")

    assert first == {"users": users[:3], "complete": True, "cursor": users[2]}
    assert last == {"users": users[3:], "complete": True}
    assert await api.done("GET", f"/v1/rooms/chat:nowhere{mine}/members") == {
        "users": [],
        "complete": True,
    }


async def test_users_are_moved_between_rooms_and_disconnected_on_every_pod(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    bob, room = f"bob{mine}", f"r%2F{mine}"
    clients = [await js.connect(pod.chats_url, user=bob) for pod in pods]

    await api.done("PUT", f"/v1/users/{bob}/rooms/{room}")
    await api.done("POST", f"/v1/rooms/{room}/send", {"event": "in"})
    await api.done("DELETE", f"/v1/users/{bob}/rooms/{room}")
    await api.done("POST", f"/v1/rooms/{room}/send", {"event": "out"})
    await api.done("POST", f"/v1/users/{bob}/send", {"event": "last"})

    for client in clients:
        await client.event("in")
        await client.event("last")
        assert [one.event for one in client.received] == ["in", "last"]
    assert await api.done("DELETE", f"/v1/users/{bob}/connections?reason=over") == {
        "disconnected": 2
    }
    for client in clients:
        await client.until(lambda: client.disconnects, "it is disconnected")
        assert client.disconnects == ["io server disconnect"]
    assert pods.b.log("disconnected on request")[-1]["reason"] == "over"


async def test_the_description_is_for_everybody(pods: Pods) -> None:
    async with api_client(pods.a.api_port, key=None) as stranger:
        document = await stranger.done("GET", "/v1/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) == 9


# Idempotency


async def test_a_repeated_request_publishes_once_at_whichever_pod(
    pods: Pods, api: ApiClient, other_api: ApiClient, js: JsClients, redis: Redis, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    event = {"channel": "chat:new", "data": {"userId": bob.user, "chatId": 1}}
    key = {"Idempotency_Key": f"k{mine}"}

    answers = await asyncio.gather(
        *(one.done("POST", "/v1/publish", event, **key) for one in (api, other_api) * 10)
    )
    other_answer = await other_api.done("POST", "/v1/publish", event, Idempotency_Key=f"l{mine}")
    await api.done("POST", f"/v1/users/{bob.user}/send", {"event": "end"})

    assert len({answer["id"] for answer in answers}) == 1
    assert other_answer["id"] != answers[0]["id"]
    assert await heard(bob) == ["new-chat", "new-chat"]


async def test_repeated_lists_and_sends_are_done_once(
    pods: Pods, api: ApiClient, other_api: ApiClient, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.b.chats_url, user=f"bob{mine}")
    events = [
        {"channel": "chat:new", "data": {"userId": bob.user, "chatId": number}}
        for number in range(3)
    ]
    for one in (api, other_api):
        await one.done(
            "POST", f"/v1/users/{bob.user}/send", {"event": "e"}, Idempotency_Key=f"s{mine}"
        )
    first = await api.done("POST", "/v1/publish", events, Idempotency_Key=f"k{mine}")
    again = await other_api.done("POST", "/v1/publish", events, Idempotency_Key=f"k{mine}")
    await api.done("POST", f"/v1/users/{bob.user}/send", {"event": "end"})

    assert first == again
    assert await heard(bob) == ["e", *["new-chat"] * 3]


async def test_a_key_for_another_request_is_refused(
    api: ApiClient, other_api: ApiClient, mine: str
) -> None:
    headers = {"Idempotency-Key": f"k{mine}"}
    event = {"channel": "chat:new", "data": {"userId": f"u{mine}"}}
    await api.done("POST", "/v1/publish", event, Idempotency_Key=f"k{mine}")

    for body in ([event], {**event, "data": {"userId": f"v{mine}"}}):
        refusal = await other_api.refused("POST", "/v1/publish", body, headers=headers)
        assert refusal == (422, "idempotency_key_reused")


# Refusals


async def test_without_a_key_nothing_is_done(pods: Pods) -> None:
    for key in (None, "wrong-0123456789abcdef", KEY[:-1], READER_KEY.upper()):
        async with api_client(pods.a.api_port, key) as stranger:
            answer = await stranger.call("GET", "/v1/users")
            assert answer.status == 401
            assert answer.json()["error"]["code"] == "unauthorized"
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_scope_permits_what_it_names(pods: Pods, mine: str) -> None:
    async with api_client(pods.a.api_port, READER_KEY) as reader:
        assert (await reader.call("GET", f"/v1/users/u{mine}")).status == 200
        for method, path, body in (
            ("POST", "/v1/publish", {"channel": "chat:new", "data": {"userId": 1}}),
            ("POST", f"/v1/users/u{mine}/send", {"event": "e"}),
            ("PUT", f"/v1/users/u{mine}/rooms/r", None),
            ("DELETE", f"/v1/users/u{mine}/connections", None),
        ):
            assert await reader.refused(method, path, body) == (403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("POST", "/v1/publish", {"channel": "chat:nowhere", "data": {}}, (400, "unknown_channel")),
        (
            "POST",
            "/v1/publish",
            {"channel": "constellation:commands", "data": {}},
            (400, "unknown_channel"),
        ),
        ("POST", "/v1/publish", {"channel": "chat:new", "data": {}}, (400, "invalid_request")),
        ("POST", "/v1/publish", {"channel": "chat:new", "data": "x"}, (400, "invalid_request")),
        ("POST", "/v1/publish", {"channel": "chat:new"}, (400, "invalid_request")),
        ("POST", "/v1/publish", [], (400, "invalid_request")),
        (
            "POST",
            "/v1/publish",
            [{"channel": "chat:new", "data": {"userId": 1}}] * 101,
            (400, "invalid_request"),
        ),
        ("POST", "/v1/users/u1/send", {"event": "disconnect"}, (400, "invalid_request")),
        ("POST", "/v1/users/u1/send", {"event": ""}, (400, "invalid_request")),
        ("POST", "/v1/users/u1/send", {"event": "e", "data": "x" * 1_000_000}, (413, "too_large")),
        ("POST", "/v1/users/u1/send", {"event": "e", "data": "x" * 1_100_000}, (413, "too_large")),
        ("GET", "/v1/users?limit=0", None, (400, "invalid_request")),
        ("GET", "/v1/users?unknown=1", None, (400, "invalid_request")),
        ("GET", "/v1/users/%ff", None, (400, "invalid_request")),
        ("GET", "/v1/nothing", None, (404, "not_found")),
        ("PATCH", "/v1/users/u1", None, (405, "method_not_allowed")),
        ("OPTIONS", "/v1/publish", None, (405, "method_not_allowed")),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_reason(
    api: ApiClient, method: str, path: str, body: object, refusal: tuple[int, str]
) -> None:
    assert await api.refused(method, path, body) == refusal


@pytest.mark.parametrize(
    ("data", "content_type", "refusal"),
    [
        (b'{"event":', "application/json", (400, "invalid_json")),
        (b'{"event":"e","data":"\xff"}', "application/json", (400, "invalid_json")),
        (b"[" * 100_000, "application/json", (400, "invalid_request")),
        (b'{"event":"e"}', "text/plain", (415, "unsupported_media_type")),
    ],
)
async def test_bodies_that_are_not_json_are_refused(
    api: ApiClient, data: bytes, content_type: str, refusal: tuple[int, str]
) -> None:
    answered = await api.refused(
        "POST", "/v1/users/u1/send", data=data, headers={"Content-Type": content_type}
    )
    assert answered == refusal


def head(*lines: str, key: str = KEY) -> bytes:
    fields = ["Host: api", f"Authorization: Bearer {key}", "Content-Type: application/json", *lines]
    return "\r\n".join(["POST /v1/users/u1/send HTTP/1.1", *fields, "", ""]).encode()


async def test_a_body_that_never_ends_is_given_up(pods: Pods, api: ApiClient) -> None:
    async with tcp_stream(pods.a.api_port) as (reader, writer):
        writer.write(head("Transfer-Encoding: chunked") + b"1\r\n{\r\n")
        started = time.monotonic()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b'"too_slow"' in answer
        assert 8 < time.monotonic() - started < 15


async def test_a_body_that_is_sent_for_ever_is_refused_at_its_bound(pods: Pods) -> None:
    async with tcp_stream(pods.a.api_port) as (reader, writer):
        writer.write(head("Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"

        async def pour() -> None:
            while True:
                writer.write(piece)
                await writer.drain()

        pouring = asyncio.create_task(pour())
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.readuntil(b"}}")
        pouring.cancel()
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert b'"too_large"' in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /v1/users HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /v1/users HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            b"404",
        ),
    ],
)
async def test_what_is_no_request_is_refused_in_the_same_form(
    pods: Pods, sent: bytes, status: bytes
) -> None:
    async with tcp_stream(pods.a.api_port) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.split(b" ")[1] == status
    assert json.loads(body)["error"].keys() == {"code", "message"}
    assert await pods.a.metric("constellation_api_refused_total") >= 1


async def test_each_key_is_limited(valkey: Valkey, gateway: StartGateway, mine: str) -> None:
    settings = {**WITH_API, "CONSTELLATION_API_MAX_REQUESTS_PER_SECOND": RATE}
    async with gateway(valkey.url, **settings) as pod:
        async with api_client(pod.api_port) as api, api_client(pod.api_port, READER_KEY) as other:
            calls = [api.call("GET", f"/v1/users/u{mine}") for _ in range(5 * RATE)]
            answers = await asyncio.gather(*calls)
            assert (await other.call("GET", f"/v1/users/u{mine}")).status == 200
        limited = [answer for answer in answers if answer.status == 429]
        assert {answer.status for answer in answers} == {200, 429}
        assert len(answers) - len(limited) >= 2 * RATE
        assert limited[0].headers["Retry-After"] == "1"
        assert limited[0].json()["error"]["code"] == "rate_limited"
        assert await pod.metric(
            "constellation_api_request_duration_seconds_count",
            route="GET /v1/users/{user}",
            outcome="rate_limited",
        ) == len(limited)


async def test_connections_are_bounded_and_idle_ones_make_room(
    valkey: Valkey, gateway: StartGateway
) -> None:
    async with gateway(valkey.url, **WITH_API, CONSTELLATION_API_MAX_CONNECTIONS=16) as pod:
        held = [await asyncio.open_connection(HOST, pod.api_port) for _ in range(40)]
        async with api_client(pod.api_port) as api:
            assert (await api.call("GET", "/v1/users")).status == 200
        for _, writer in held:
            writer.close()
        assert await pod.metric("constellation_api_refused_total", reason="half_open") >= 20


# Other states


@pytest.mark.parametrize(
    "settings", [{**WITH_API, "CONSTELLATION_API_KEYS": ""}, {"CONSTELLATION_API_KEYS": "a:b"}]
)
async def test_a_gateway_whose_api_nobody_could_call_does_not_start(
    valkey: Valkey, tmp_path: Path, settings: dict[str, Any]
) -> None:
    ended = await ended_gateway(tmp_path / "log", valkey.url, **settings)

    assert ended.code == 2
    assert any("CONSTELLATION_API_" in line for line in ended.lines)


async def test_without_a_log_events_are_published_and_have_no_ids(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    settings = {**WITH_API, "CONSTELLATION_DELIVERY": "live", "CONSTELLATION_REDIS_PREFIX": "live"}
    async with gateway(valkey.url, **settings) as pod, api_client(pod.api_port) as api:
        bob = await js.connect(pod.chats_url, user=f"bob{mine}")
        event = {"channel": "chat:new", "data": {"userId": bob.user, "chatId": 1}}

        assert await api.done("POST", "/v1/publish", event) == {"id": None}
        assert await api.done("POST", "/v1/publish", [event] * 2) == {"ids": [None, None]}
        for _ in range(2):
            answer = await api.done("POST", "/v1/publish", event, Idempotency_Key=f"k{mine}")
            assert answer == {"id": None}
        await api.done("POST", f"/v1/users/{bob.user}/send", {"event": "end"})

        assert await heard(bob) == ["new-chat"] * 4


async def test_a_redis_that_hangs_is_unavailable_within_the_deadline(
    gateway: StartGateway, mine: str
) -> None:
    event = {"channel": "chat:new", "data": {"userId": f"u{mine}"}}
    with running_valkey() as own:
        async with gateway(own.url, **WITH_API) as pod, api_client(pod.api_port) as api:
            await api.done("POST", "/v1/publish", event)
            with own.hanging():
                started = time.monotonic()
                answers = await asyncio.gather(
                    api.call("POST", "/v1/publish", event),
                    api.call("POST", "/v1/publish", [event] * 3),
                    api.call("POST", "/v1/publish", event, headers={"Idempotency-Key": "k"}),
                    api.call("POST", f"/v1/users/u{mine}/send", {"event": "e"}),
                    api.call("GET", "/v1/users/somebody"),
                    api.call("GET", "/v1/users"),
                    api.call("GET", "/v1/rooms/r/members"),
                    api.call("PUT", f"/v1/users/u{mine}/rooms/r"),
                    api.call("DELETE", f"/v1/users/u{mine}/connections"),
                )
                assert time.monotonic() - started < HUNG_SECONDS + 1
                assert (await api.call("GET", "/v1/openapi.json")).status == 200
                assert (await pod.get("/livez")).status == 200
            for answer in answers:
                assert answer.status == 503
                assert answer.json()["error"]["code"] == "unavailable"
                assert answer.headers["Retry-After"] == "1"

            async def is_done() -> bool:
                same = {"Idempotency-Key": "k"}
                return (await api.call("POST", "/v1/publish", event, headers=same)).status == 202

            await eventually(is_done, PATIENCE_SECONDS, "Redis answers again")


async def test_a_pod_that_hangs_makes_the_list_of_members_incomplete(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    with running_valkey() as own:
        async with gateway(own.url, **WITH_API) as a, gateway(own.url, **WITH_API) as b:
            for pod in (a, b):
                client = await js.connect(pod.chats_url, user=f"m{pod.ws_port}{mine}")
                await client.join(f"c{mine}")
            async with api_client(a.api_port) as api:
                b.signal(signal.SIGSTOP)
                try:
                    listed = await api.done("GET", f"/v1/rooms/chat:c{mine}/members")
                finally:
                    b.signal(signal.SIGCONT)
            assert listed == {"users": [f"m{a.ws_port}{mine}"], "complete": False}


async def test_a_pod_that_drains_answers_to_the_end(
    gateway: StartGateway, valkey: Valkey, mine: str
) -> None:
    settings = {**WITH_API, "CONSTELLATION_DRAIN_DELAY_SECONDS": 2}
    async with gateway(valkey.url, **settings) as pod, api_client(pod.api_port) as api:
        pod.signal(signal.SIGTERM)
        await eventually(lambda: pod.log("draining"), PATIENCE_SECONDS, "it drains")
        event = {"channel": "chat:new", "data": {"userId": f"u{mine}"}}
        for _ in range(3):
            answer = await api.call("POST", "/v1/publish", event)
            assert (answer.status, answer.headers["Connection"]) == (202, "close")
        assert await pod.exited() == 0


async def test_both_ports_of_services_do_the_same(
    pods: Pods, api: ApiClient, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.b.chats_url, user=f"bob{mine}")
    async with nest_client(pods.a.tcp_port) as nest:
        for number in range(10):
            if number % 2:
                await nest.ask("sendToUser", {"userId": bob.user, "event": "e", "data": number})
            else:
                body = {"event": "e", "data": number}
                await api.done("POST", f"/v1/users/{bob.user}/send", body)
    assert [(await bob.event("e")).payload for _ in range(10)] == list(range(10))


async def test_the_trace_of_a_caller_leads_to_the_sockets(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with running_collector() as collector:
        settings = {
            **WITH_API,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": 50,
        }
        with running_valkey() as own:
            async with gateway(own.url, **settings) as pod, api_client(pod.api_port) as api:
                bob = await js.connect(pod.chats_url, user=f"bob{mine}")
                event = {"channel": "chat:new", "data": {"userId": bob.user, "chatId": 1}}
                parent = f"00-{TRACE_ID}-b7ad6b7169203331-01"
                await api.done("POST", "/v1/publish", event, traceparent=parent)
                assert (await bob.event("new-chat")).arguments == ({"chatId": 1},)
                spans = await collector.whole_trace(TRACE_ID, 4)

    by_name = {span.name: span for span in spans}
    served = by_name["POST /v1/publish"]
    assert (served.kind, served.parent_id) == ("SERVER", "b7ad6b7169203331")
    assert served.attributes["http.route"] == "/v1/publish"
    assert by_name["publish chat:new"].parent_id == served.span_id
    assert by_name["process chat:new"].parent_id == by_name["publish chat:new"].span_id
    assert by_name["deliver new-chat"].parent_id == by_name["process chat:new"].span_id


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages print curl commands")
@pytest.mark.parametrize(("page", "count"), [("docs/api.md", 13), ("docs/publish.md", 1)])
async def test_the_requests_that_the_pages_print_succeed(
    page: str, count: int, pods: Pods, tmp_path: Path
) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    blocks = [block for block in SHELL_BLOCK.findall(text) if "$KEY" in block or "curlrc" in block]
    printed = "".join(blocks).replace("export API=", ": ")
    assert printed.count("curl ") == count
    url = f"http://{HOST}:{pods.a.api_port}"
    script = f'set -e\ncurl() {{ command curl -sS --fail-with-body "$@"; }}\n{printed}'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=tmp_path,
        env={**os.environ, "API": url, "KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    answers, _ = await process.communicate()
    assert process.returncode == 0, answers.decode()


async def test_no_metric_names_who_was_meant(pods: Pods, api: ApiClient, mine: str) -> None:
    await api.call("GET", f"/v1/users/alice{mine}")
    await api.call("GET", f"/alice{mine}")
    text = (await pods.a.get("/metrics")).text

    assert 'route="GET /v1/users/{user}"' in text
    assert "alice" not in text
    assert KEY not in text


async def test_no_log_line_shows_a_key(pods: Pods) -> None:
    lines = [line for pod in pods for line in pod.lines()]

    assert not any(key in line for line in lines for key in (KEY, READER_KEY))
