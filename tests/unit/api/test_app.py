"""One request to the HTTP API, from its head to its answer, with actions that do nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from constellation_ws.api import app as api_app
from constellation_ws.api import openapi
from constellation_ws.api.app import UNKNOWN_ROUTE, Api, ApiLimits
from constellation_ws.api.keys import read_keys
from constellation_ws.api.operations import Operations
from constellation_ws.chats.presence import OnlinePage
from constellation_ws.messages.admission import Rate
from constellation_ws.messages.events import Room, UserId
from constellation_ws.services.actions import MembersPage
from constellation_ws.services.once import RetryKey
from constellation_ws.services.refusals import RequestRefused
from constellation_ws.services.sending import Message, Sent
from tests.spawning import spawn

FULL, READER = "full-key-0123456789", "reader-key-0123456789"
KEYS = read_keys(f"full:{FULL},reader:{READER}:read")
RATE = Rate(10, 20)
EMISSION = {"event": "e", "data": {"n": 9007199254740993}}
EVENT = {"channel": "chat:new", "data": {"userId": 1}}


class Actions:
    """Notes what is done; `gate` holds it up, `fault` is raised."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.retry_keys: list[RetryKey | None] = []
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def _note(self, *what: Any) -> None:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.done.append(what)

    async def is_online(self, user: UserId) -> bool:
        await self._note("is_online", user)
        return True

    async def online(self, cursor: str, limit: int) -> OnlinePage:
        await self._note("online", cursor, limit)
        return OnlinePage([UserId("u1")], "u1" if limit == 1 else None)

    async def members(self, room: Room, cursor: str, limit: int, _: str) -> MembersPage:
        await self._note("members", room, cursor, limit)
        return MembersPage([UserId("u1")], None, is_complete=limit > 1)

    async def publish_all(
        self, events: Sequence[Message], retry_key: RetryKey | None
    ) -> list[Sent]:
        await self._note("publish_all", *events)
        self.retry_keys.append(retry_key)
        return [f"{place}-0" for place in range(len(events))]

    async def emit(self, room: Room, event: str, data: bytes, _: str) -> None:
        await self._note("emit", room, event, bytes(data))

    async def emit_once(
        self, room: Room, event: str, data: bytes, retry_key: RetryKey, _: str
    ) -> None:
        await self._note("emit_once", room, event, bytes(data))
        self.retry_keys.append(retry_key)

    async def join(self, user: UserId, room: Room, _: str) -> None:
        await self._note("join", user, room)

    async def leave(self, user: UserId, room: Room, _: str) -> None:
        await self._note("leave", user, room)

    async def disconnect(self, user: UserId, reason: str) -> int:
        await self._note("disconnect", user, reason)
        return 2


class Counted:
    """What is reported."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []

    def request(self, route: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((route, outcome))


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["error"]["code"])


@dataclass
class World:
    """An API and who calls it."""

    actions: Actions = field(default_factory=Actions)
    counted: Counted = field(default_factory=Counted)
    is_draining: bool = False

    def __post_init__(self) -> None:
        rows = Operations(cast("Any", self.actions)).rows()
        self.api = Api(
            rows,
            {openapi.PATH: openapi.document(rows, ["chat:new"], ["/chats"])},
            KEYS,
            ApiLimits(1_000, RATE),
            self.counted,
            spawn,
            lambda: self.is_draining,
        )

    async def call(
        self,
        method: str,
        target: str,
        body: object = None,
        key: str | None = FULL,
        **headers: str,
    ) -> Reply:
        path, _, query = target.partition("?")
        fields = {"content-type": "application/json", **headers}
        if key is not None:
            fields["authorization"] = f"Bearer {key}"
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), text.encode()) for name, text in fields.items()
            ],
        }
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.api(scope, receive, send)
        start, content = sent
        told = {name.decode(): text.decode() for name, text in start["headers"]}
        assert told["content-length"] == str(len(content["body"]))
        assert told["cache-control"] == "no-store"
        return Reply(start["status"], told, content["body"])


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer", "done"),
    [
        (
            "POST",
            "/v1/publish",
            EVENT,
            202,
            {"id": "0-0"},
            ("publish_all", ("chat:new", b'{"userId": 1}')),
        ),
        (
            "POST",
            "/v1/publish",
            [EVENT, EVENT],
            202,
            {"ids": ["0-0", "1-0"]},
            ("publish_all", ("chat:new", b'{"userId": 1}'), ("chat:new", b'{"userId": 1}')),
        ),
        (
            "POST",
            "/v1/publish",
            [EVENT],
            202,
            {"ids": ["0-0"]},
            ("publish_all", ("chat:new", b'{"userId": 1}')),
        ),
        (
            "POST",
            "/v1/users/a%2Fb/send",
            EMISSION,
            202,
            {"accepted": True},
            ("emit", "user:a/b", "e", b'{"n": 9007199254740993}'),
        ),
        (
            "POST",
            "/v1/rooms/chat:%D0%AF/send",
            {"event": "e"},
            202,
            {"accepted": True},
            ("emit", "chat:Я", "e", b"null"),
        ),
        ("GET", "/v1/users/u1", None, 200, {"userId": "u1", "online": True}, ("is_online", "u1")),
        ("GET", "/v1/users", None, 200, {"users": ["u1"]}, ("online", "", 100)),
        (
            "GET",
            "/v1/users?limit=1&cursor=u0",
            None,
            200,
            {"users": ["u1"], "cursor": "u1"},
            ("online", "u0", 1),
        ),
        (
            "GET",
            "/v1/rooms/chat:1/members",
            None,
            200,
            {"users": ["u1"], "complete": True},
            ("members", "chat:1", "", 100),
        ),
        (
            "GET",
            "/v1/rooms/chat:1/members?limit=1",
            None,
            200,
            {"users": ["u1"], "complete": False},
            ("members", "chat:1", "", 1),
        ),
        ("PUT", "/v1/users/u1/rooms/r%2F1", None, 202, {"accepted": True}, ("join", "u1", "r/1")),
        ("DELETE", "/v1/users/u1/rooms/r", None, 202, {"accepted": True}, ("leave", "u1", "r")),
        (
            "DELETE",
            "/v1/users/u1/connections",
            None,
            200,
            {"disconnected": 2},
            ("disconnect", "u1", ""),
        ),
        (
            "DELETE",
            "/v1/users/u1/connections?reason=bye",
            None,
            200,
            {"disconnected": 2},
            ("disconnect", "u1", "bye"),
        ),
    ],
)
async def test_each_operation_does_what_it_says(
    world: World, method: str, path: str, body: object, status: int, answer: object, done: object
) -> None:
    reply = await world.call(method, path, body)

    assert (reply.status, reply.json()) == (status, answer)
    assert world.actions.done == [done]
    ((_, outcome),) = world.counted.requests
    assert outcome == "ok"


async def test_routes_are_counted_by_their_template(world: World) -> None:
    await world.call("GET", "/v1/users/alice")
    await world.call("GET", "/v1/users/bob", key="wrong-key-0123456789")
    await world.call("GET", "/alice")
    await world.call("ALICE", "/v1/users")

    assert world.counted.requests == [
        ("GET /v1/users/{user}", "ok"),
        ("GET /v1/users/{user}", "unauthorized"),
        (UNKNOWN_ROUTE, "not_found"),
        (UNKNOWN_ROUTE, "method_not_allowed"),
    ]


async def test_the_description_needs_no_key(world: World) -> None:
    reply = await world.call("GET", "/v1/openapi.json", key=None)

    assert (reply.status, reply.json()["openapi"]) == (200, "3.1.0")


async def test_a_key_is_required_for_everything_else(world: World) -> None:
    for key in (None, "wrong-key-0123456789", FULL[:-1]):
        reply = await world.call("GET", "/v1/users", key=key)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert world.actions.done == []


async def test_a_key_permits_what_its_scopes_say(world: World) -> None:
    assert (await world.call("GET", "/v1/users", key=READER)).status == 200
    for method, path in (
        ("POST", "/v1/publish"),
        ("POST", "/v1/users/u1/send"),
        ("PUT", "/v1/users/u1/rooms/r"),
        ("DELETE", "/v1/users/u1/connections"),
    ):
        reply = await world.call(method, path, EVENT, key=READER)
        assert (reply.status, reply.code) == (403, "forbidden")


async def test_each_key_has_its_own_rate(world: World) -> None:
    replies = [await world.call("GET", "/v1/users/u1") for _ in range(RATE.burst + 1)]

    assert [reply.status for reply in replies] == [200] * RATE.burst + [429]
    assert (replies[-1].code, replies[-1].headers["retry-after"]) == ("rate_limited", "1")
    assert (await world.call("GET", "/v1/users/u1", key=READER)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/v1/publish", 405, "POST"),
        ("DELETE", "/v1/users/u1", 405, "GET, HEAD"),
        ("POST", "/v1/users/u1/rooms/r", 405, "PUT, DELETE"),
        ("POST", "/v1/openapi.json", 405, "GET, HEAD"),
        ("GET", "/v1/users/", 404, None),
        ("GET", "/v1/users/u1/", 404, None),
        ("GET", "/", 404, None),
    ],
)
async def test_other_paths_and_methods_are_refused(
    world: World, method: str, path: str, status: int, allowed: str | None
) -> None:
    reply = await world.call(method, path)

    assert (reply.status, reply.headers.get("allow")) == (status, allowed)


async def test_a_head_is_answered_like_a_get(world: World) -> None:
    assert (await world.call("HEAD", "/v1/users")).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "invalid_json"),
        ({"event": ""}, {}, 400, "invalid_request"),
        (EMISSION, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (EMISSION, {"idempotency-key": ""}, 400, "invalid_request"),
        ({"event": "e", "data": "x" * 1_000}, {}, 413, "too_large"),
    ],
)
async def test_bodies_that_cannot_be_read_are_refused(
    world: World, body: object, headers: dict[str, str], status: int, code: str
) -> None:
    reply = await world.call("POST", "/v1/users/u1/send", body, **headers)

    assert (reply.status, reply.code) == (status, code)
    assert world.actions.done == []


async def test_a_refusal_of_an_action_is_answered(world: World) -> None:
    world.actions.fault = RequestRefused("unavailable", "Redis is away")

    reply = await world.call("GET", "/v1/users/u1")

    assert (reply.status, reply.json()) == (
        503,
        {"error": {"code": "unavailable", "message": "Redis is away"}},
    )
    assert reply.headers["retry-after"] == "1"


async def test_an_error_costs_one_request_and_says_nothing(world: World) -> None:
    world.actions.fault = KeyError("secret")

    reply = await world.call("GET", "/v1/users/u1")

    assert (reply.status, reply.code) == (500, "internal_error")
    assert b"secret" not in reply.body
    world.actions.fault = None
    assert (await world.call("GET", "/v1/users/u1")).status == 200


async def test_no_request_waits_for_longer_than_its_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_app, "REQUEST_SECONDS", 0.05)
    world.actions.gate.clear()

    reply = await world.call("PUT", "/v1/users/u1/rooms/r")

    assert (reply.status, reply.code) == (503, "unavailable")
    assert "it may still be executed" in reply.json()["error"]["message"]
    world.actions.gate.set()
    await asyncio.sleep(0)
    assert world.actions.done == []


async def test_repeated_requests_have_one_retry_key(world: World) -> None:
    for _ in range(2):
        await world.call("POST", "/v1/publish", EVENT, idempotency_key="k")
    first, again = world.actions.retry_keys
    assert first is not None
    assert first == again
    assert (first.caller, first.key) == ("full", "k")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/publish", [EVENT]),
        ("/v1/users/u1/send", EMISSION),
        ("/v1/users/u2/send", EMISSION),
        ("/v1/rooms/u1/send", EMISSION),
        ("/v1/users/u1/send", {**EMISSION, "event": "other"}),
    ],
)
async def test_another_request_has_another_fingerprint(
    world: World, path: str, body: object
) -> None:
    await world.call("POST", "/v1/publish", EVENT, idempotency_key="k")
    await world.call("POST", path, body, idempotency_key="k")

    first, other = world.actions.retry_keys
    assert first is not None
    assert other is not None
    assert first.fingerprint != other.fingerprint


async def test_a_pod_that_drains_answers_and_sends_its_callers_elsewhere(world: World) -> None:
    assert "connection" not in (await world.call("GET", "/v1/users")).headers
    world.is_draining = True

    reply = await world.call("GET", "/v1/users")

    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_spans_are_named_by_the_route(world: World) -> None:
    scope = {"method": "PUT", "raw_path": b"/v1/users/alice/rooms/r"}
    unknown = {"method": "GET", "raw_path": b"/alice"}

    assert world.api.span_details(scope) == (
        "PUT /v1/users/{user}/rooms/{room}",
        {"http.route": "/v1/users/{user}/rooms/{room}"},
    )
    assert world.api.span_details(unknown) == ("GET", {})
