"""Who may look with the Admin UI, what is sent to whom, and what becomes of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace
from socketio.exceptions import ConnectionRefusedError as ConnectRefused

from constellation_ws.api.keys import read_keys
from constellation_ws.console import admin_ui, questions
from constellation_ws.console.admin_ui import MAX_VIEWERS, NAMESPACE, AdminUi
from constellation_ws.console.cluster import Cluster
from constellation_ws.console.questions import PodListing, Query, Sockets
from constellation_ws.redis_io.asking import Reported
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused
from tests.unit.console.test_admin_view import BOB, STATUS
from tests.waiting import PATIENCE_SECONDS, eventually

KEY = "a-key-of-operators"
WHO = SimpleNamespace(address="10.0.0.1")
BOBS = [BOB, replace(BOB, sid="s2")]


class Server:
    """A Socket.IO server that keeps what is sent."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.sent: list[tuple[str, str]] = []

    def on(self, event: str, handler: Callable[..., Any], namespace: str) -> None:
        assert namespace == NAMESPACE
        self.handlers[event] = handler

    async def emit(self, event: str, data: tuple[object, ...], *, to: str, namespace: str) -> None:
        self.sent.append((to, event))

    def pop(self) -> list[tuple[str, str]]:
        """Give what was sent since the last time, but statistics."""
        sent, self.sent = self.sent, []
        return [one for one in sent if one[1] != "server_stats"]


class Pods:
    """Two pods; `sockets` are those of the first. A pod in `silent` gives no answer."""

    def __init__(self) -> None:
        self.sockets = [BOB]
        self.silent: list[str] = []
        self.asked: list[Query] = []
        self.is_away = False

    async def living(self) -> list[str]:
        return ["a", "b"]

    async def ask(self, query: Raw, pods: object) -> tuple[list[Reported], list[str]]:
        if self.is_away:
            raise RedisUnavailable("Redis is away")
        self.asked.append(questions.decode_query(query))
        is_listing = isinstance(self.asked[-1], Sockets)
        answers = {
            pod: PodListing(self.sockets if pod == "a" else [], {"/chats": 1})
            if is_listing
            else STATUS
            for pod in ("a", "b")
        }
        return [
            Reported(pod, Raw(msgspec.json.encode(answer)))
            for pod, answer in answers.items()
            if pod not in self.silent
        ], self.silent


class Doing:
    """Actions that note what is done; Redis may be away."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.is_away = False

    async def regroup(self, who: str, namespace: str, **moves: Any) -> None:
        if self.is_away:
            raise RequestRefused("unavailable", "Redis is away")
        self.done.append(("regroup", namespace, who, moves))

    async def disconnect_all(self, who: str, namespace: str) -> None:
        self.done.append(("disconnect", namespace, who))

    async def emit(self, who: str, event: str, data: Raw, namespace: str) -> None:
        self.done.append(("emit", namespace, who, event, bytes(data)))


class World:
    """The Admin UI's namespace, with pods and actions of ours."""

    def __init__(self, *, may_act: bool = True) -> None:
        self.server, self.pods, self.doing = Server(), Pods(), Doing()
        cluster = Cluster(self.pods.ask, self.pods.living)
        actions, keys = cast("Actions", self.doing), read_keys(f"console:{KEY}")
        self.ui = AdminUi(self.server, cluster, actions, keys, may_act=may_act)

    async def connect(self, sid: str, auth: object = None) -> None:
        await self.server.handlers["connect"](sid, WHO, auth or {"password": KEY})

    async def act(self, event: str, *arguments: object) -> Any:
        return await self.server.handlers["*"](event, "v1", *arguments)


@pytest.mark.parametrize(
    "auth", [{"sessionId": ""}, {"password": 7}, "text", {"password": "é"}, {"password": KEY[1:]}]
)
async def test_nobody_looks_without_the_key(auth: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_ui, "_REFUSED_SECONDS", 0)
    world = World()
    with pytest.raises(ConnectRefused) as refused:
        await world.connect("v1", auth)
    assert refused.value.error_args == {"message": "invalid credentials"}, "what the UI looks for"
    await world.ui._show()
    assert world.server.pop() == []


async def test_a_wrong_key_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_ui, "_REFUSED_SECONDS", 3_600)
    connecting = asyncio.ensure_future(World().connect("v1", {"password": "no key of ours"}))
    await asyncio.sleep(0)
    assert not connecting.done()
    connecting.cancel()


async def test_so_many_may_look_at_a_time() -> None:
    world = World()
    for number in range(MAX_VIEWERS):
        await world.connect(f"v{number}")
    with pytest.raises(ConnectRefused):
        await world.connect("one more")
    world.server.handlers["disconnect"]("v0", "transport close")
    await world.connect("one more")


async def test_pods_are_asked_only_while_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_ui, "SHOW_SECONDS", 0)
    world = World()
    running = asyncio.ensure_future(world.ui.run())
    await asyncio.sleep(0)
    assert world.pods.asked == []
    await world.connect("v1")
    await eventually(
        lambda: ("v1", "all_sockets") in world.server.sent, PATIENCE_SECONDS, "the list is sent"
    )
    world.server.handlers["disconnect"]("v1", "transport close")
    await eventually(lambda: not world.ui._listings, PATIENCE_SECONDS, "what it had is let go")
    asked = len(world.pods.asked)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(world.pods.asked) == asked
    running.cancel()


async def test_who_looks_while_redis_is_away_gets_the_list_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admin_ui, "SHOW_SECONDS", 0)
    world = World()
    world.pods.is_away = True
    await world.connect("v1")
    running = asyncio.ensure_future(world.ui.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.server.sent == []
    world.pods.is_away = False
    await eventually(world.server.pop, PATIENCE_SECONDS, "the list is sent")
    running.cancel()


async def test_who_comes_gets_the_list_and_who_is_there_what_changes() -> None:
    world = World()
    await world.connect("v1")
    await world.ui._show()
    assert world.server.pop() == [("v1", "config"), ("v1", "all_sockets")]
    world.pods.sockets = BOBS
    await world.connect("v2")
    await world.ui._show()
    assert world.server.pop() == [
        ("v1", "socket_connected"),
        ("v2", "config"),
        ("v2", "all_sockets"),
    ]


async def test_a_pod_that_is_slow_to_answer_has_not_lost_its_sockets() -> None:
    world = World()
    await world.connect("v1")
    await world.ui._show()
    world.server.pop()
    world.pods.silent = ["a"]
    await world.ui._show()
    assert world.server.pop() == []
    world.pods.silent, world.pods.sockets = [], []
    await world.ui._show()
    assert world.server.pop() == [("v1", "socket_disconnected")]


@pytest.mark.parametrize(
    ("request_", "done"),
    [
        (("join", "/chats", "chat:2", "s1"), ("regroup", "/chats", "s1", {"enters": ["chat:2"]})),
        (("leave", "/chats", "chat:2", "s1"), ("regroup", "/chats", "s1", {"leaves": ["chat:2"]})),
        (("leave", "/chats", "c:2"), ("regroup", "/chats", "c:2", {"leaves": ["c:2"]})),
        (("leave", "/chats", "c:2", None), ("regroup", "/chats", "c:2", {"leaves": ["c:2"]})),
        (("_disconnect", "/chats", True, "s1"), ("disconnect", "/chats", "s1")),
        (("emit", "/chats", "c:2", "hi", {"n": 1}), ("emit", "/chats", "c:2", "hi", b'{"n":1}')),
    ],
)
async def test_requests_are_carried_out(request_: tuple[Any, ...], done: Any) -> None:
    world = World()
    assert await world.act(*request_) == {"success": True}
    assert world.doing.done == [done]


@pytest.mark.parametrize(
    "request_",
    [
        ("join", "/chats", "chat:2"),
        ("join", "/chats", "chat:2", None),
        ("join", "/chats", "user:ann", "s1"),
        ("leave", "/chats", "user:bob", "s1"),
        ("leave", "/chats", "a\nb"),
        ("_disconnect", "/chats", False),
        ("_disconnect", 7, False, "s1"),
        ("emit", "/chats", "chat:2", "hi", "\ud83d"),
        ("shutdown",),
    ],
)
async def test_no_request_is_for_everybody_or_changes_who_a_socket_is(
    request_: tuple[Any, ...],
) -> None:
    world = World()
    assert (await world.act(*request_))["error"]["code"] == "invalid_request"
    assert world.doing.done == []


async def test_who_may_only_look_changes_nothing() -> None:
    world = World(may_act=False)
    assert (await world.act("_disconnect", "/chats", False, "s1"))["error"]["code"] == "forbidden"
    assert world.doing.done == []


async def test_a_request_that_redis_does_not_accept_is_refused() -> None:
    world = World()
    world.doing.is_away = True
    refused = await world.act("join", "/chats", "chat:2", "s1")
    assert refused["error"] == {"code": "unavailable", "message": "Redis is away"}
