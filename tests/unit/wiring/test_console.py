"""The console of a whole gateway, asked in process: what a pod tells, and what it does not."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from pydantic import SecretStr

from constellation_ws.console import questions
from constellation_ws.console.pod import MAX_LISTED
from constellation_ws.console.questions import (
    PodHistory,
    PodListing,
    PodRooms,
    PodSockets,
    PodStatus,
)
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.messages.events import Room, Sid, UserId, user_room
from constellation_ws.observability.probes import create_metrics_app
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring.console import Console
from constellation_ws.wiring.gateway import Gateway
from constellation_ws.wiring.resuming import Parts
from tests.unit.console.test_pages import get

KEY = "a-key-of-operators"
ON = {
    "console": {"mode": "read", "console_key": SecretStr(KEY)},
    "watching": {"metrics_port": 9090},
}


def made(**values: Any) -> Gateway:
    return Gateway(defaults(**values), lambda work: work.close())


def connect(gateway: Gateway, user: str, *rooms: str) -> None:
    """Give the pod a member, on a session that polls."""
    engine = gateway.clients.engine
    session = engine._register(f"{user}-session", "10.0.0.9", 0.0)
    member = Member(Sid(f"{user}-sid"), session.sid, session)
    member.stage = Stage.CONNECTED
    member.user = UserId(user)
    index = gateway.events.rooms
    index.add(member)
    for room in (user_room(UserId(user)), *rooms):
        index.enter(member, Room(room))


def closed(parts: Parts) -> list[str]:
    """Name what would run."""
    for work in parts.values():
        work.close()
    return list(parts)


async def asked(gateway: Gateway, query: questions.Query, kind: type[Any]) -> Any:
    report = await gateway.console._report(Raw(questions.encode(query)))
    return msgspec.json.decode(report, type=kind)


async def test_without_a_console_a_pod_tells_nothing_and_measures_nothing() -> None:
    gateway = made()
    assert await gateway.console._report(Raw(b'{"type":"status"}')) == Raw(b"null")
    assert gateway.console.parts() == {}
    assert not gateway.console.is_looked_at
    app = create_metrics_app(gateway.metrics.registry)
    assert gateway.console.private(app) is gateway.console.public(app) is app


async def test_a_pod_tells_how_it_is() -> None:
    gateway = made(**ON)
    connect(gateway, "bob", "chat:1")
    status = await asked(gateway, questions.Status(), PodStatus)
    assert (status.polling, status.websockets, status.sockets, status.rooms) == (1, 0, 1, 2)
    assert (status.phase, status.drain) == ("starting", None)
    assert status.memory_bytes > 0
    assert "phase" in status.failing
    history = await asked(gateway, questions.History(), PodHistory)
    assert history.samples == []
    assert await gateway.console._report(Raw(b'{"type":"of a later release"}')) == Raw(b"null")


async def test_a_pod_tells_how_far_its_drain_is() -> None:
    gateway = made(**ON)
    connect(gateway, "bob")
    gateway.begin_drain(4e9)
    drain = (await asked(gateway, questions.Status(), PodStatus)).drain
    assert (drain.sockets_at_start, drain.sockets_left) == (1, 1)
    assert drain.seconds_left > 1e6


async def test_a_pod_tells_the_sockets_of_a_user_but_no_secret_of_their_sessions() -> None:
    gateway = made(**ON)
    connect(gateway, "bob", "chat:1")
    found = await asked(gateway, questions.Who("bob"), PodSockets)
    (socket,) = found.sockets
    assert (socket.sid, socket.transport, socket.recovery) == ("bob-sid", "polling", "none")
    assert socket.rooms == ["chat:1", "user:bob"]
    # An Engine.IO session id is all that a request needs to read what the session gets.
    assert "bob-session" not in repr(found)
    assert (await asked(gateway, questions.Who("ann"), PodSockets)).count == 0


async def test_a_pod_lists_the_sockets_that_connected_first_and_counts_all() -> None:
    gateway = made(**ON)
    for number in range(MAX_LISTED + 1):
        connect(gateway, f"u{number}", "chat:1")
    found = await asked(gateway, questions.Sockets(MAX_LISTED + 1), PodListing)
    assert [one.user for one in found.sockets] == [f"u{number}" for number in range(MAX_LISTED)]
    assert found.namespaces == {"/chats": MAX_LISTED + 1}
    assert len({one.client for one in found.sockets}) == MAX_LISTED
    assert "u0-session" not in repr(found)


async def test_a_pod_tells_its_largest_rooms_and_those_of_users_only_if_asked() -> None:
    gateway = made(**ON)
    for number in range(6):
        connect(gateway, f"u{number}", "chat:big", f"chat:{number // 4}")
    found = await asked(gateway, questions.TopRooms("chat:", 2), PodRooms)
    assert [(one.room, one.members) for one in found.rooms] == [("chat:big", 6), ("chat:0", 4)]
    assert found.matching == 3
    users = await asked(gateway, questions.TopRooms("user:u", 10, has_users=True), PodRooms)
    assert users.matching == 6


async def test_the_console_is_on_the_port_of_the_metrics_and_the_page_on_the_public_one() -> None:
    gateway = made(**ON)
    assert isinstance(gateway.console, Console)
    metrics = create_metrics_app(gateway.metrics.registry)
    private, public = gateway.console.private(metrics), gateway.console.public(metrics)
    ours, html = (b"x-constellation-console", b"1"), (b"accept", b"text/html")
    assert (await get(private, "/console/api", ours))[0] == 401
    assert "Constellation WS" in (await get(public, "/", html))[1]
    table = msgspec.json.decode((await get(public, "/page/interface.json"))[1])
    assert (table["publishes"], table["channels"], table["redis"]) == (False, [], "")
    assert table["namespaces"][0]["requests"][0]["event"] == "join-chat"


async def test_the_admin_ui_connects_where_the_console_has_a_key_and_nowhere_else() -> None:
    gateway = made(**ON)
    metrics = create_metrics_app(gateway.metrics.registry)
    polling = "/socket.io/"
    assert (await get(gateway.console.private(metrics), polling))[0] == 400
    assert list(gateway.console.upgrades) == ["/socket.io"]
    assert "admin ui" in closed(gateway.console.parts())
    proxied = {"mode": "write", "console_access": "proxy"}
    local = {"console": {"mode": "local"}, "listening": {"ws_host": "127.0.0.1"}}
    for other in ({}, {"console": proxied, "watching": {"metrics_port": 9090}}, local):
        gateway = made(**other)
        metrics = create_metrics_app(gateway.metrics.registry)
        assert (await get(gateway.console.private(metrics), polling))[0] == 404
        assert not gateway.console.upgrades
        assert "admin ui" not in closed(gateway.console.parts())


async def test_a_developers_gateway_has_all_on_its_public_port() -> None:
    gateway = made(console={"mode": "local"}, listening={"ws_host": "127.0.0.1"})
    metrics = create_metrics_app(gateway.metrics.registry)
    assert gateway.console.private(metrics) is metrics
    table = await get(
        gateway.console.public(metrics), "/page/interface.json", (b"host", b"localhost:7000")
    )
    assert msgspec.json.decode(table[1])["publishes"] is True
