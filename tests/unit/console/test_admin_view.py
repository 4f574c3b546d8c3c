"""What the Admin UI is sent, in the words of its own server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from constellation_ws.console import admin_view
from constellation_ws.console.admin_view import Listed
from constellation_ws.console.questions import PodStatus, SocketInfo

NOW, AT = 1_700_000_000.0, "2023-11-14T22:13:20+00:00"
BOB = SocketInfo(
    "s1", "/chats", "polling", "10.0.0.9", 60.0, ["chat:1", "user:bob"], 2, "offsets", 0, "bob", "c"
)
STATUS = PodStatus(
    name="pod-a",
    version="1.0.0",
    python="3.14",
    uptime_seconds=5.0,
    phase="serving",
    failing=[],
    websockets=3,
    polling=2,
    users=4,
    sockets=5,
    rooms=6,
    is_recorder=True,
    is_durable=True,
    redis_up=True,
    redis_ms=1.0,
    loop_lag_ms=1.0,
    memory_bytes=1,
    memory_limit_bytes=0,
    is_overloaded=False,
    connects=1.234,
    pid=7,
)


def listed(*sockets: SocketInfo) -> Listed:
    return {(one.namespace, one.sid): one for one in sockets}


def plain(event: admin_view.Event) -> Any:
    return msgspec.to_builtins(event)


def test_who_may_only_look_is_offered_no_action() -> None:
    reading = admin_view.config(may_act=False)
    assert reading == ("config", ({"supportedFeatures": ["AGGREGATED_EVENTS", "ALL_EVENTS"]},))
    _, (acting,) = plain(admin_view.config(may_act=True))
    assert {"JOIN", "LEAVE", "EMIT", "MDISCONNECT"} <= set(acting["supportedFeatures"])


def test_a_pod_is_a_server_with_all_its_clients() -> None:
    name, (stats,) = plain(admin_view.server_stats("i1", STATUS, {"/chats": 5}, NOW + 0.5))
    assert name == "server_stats"
    assert stats == {
        "serverId": "i1",
        "hostname": "pod-a",
        "pid": 7,
        "uptime": 5.0,
        "clientsCount": 5,
        "pollingClientsCount": 2,
        "aggregatedEvents": [{"timestamp": NOW * 1_000, "type": "rawConnection", "count": 2.47}],
        "namespaces": [{"name": "/chats", "socketsCount": 5}],
    }


def test_a_pod_without_new_connections_reports_none() -> None:
    _, (stats,) = plain(admin_view.server_stats("i1", replace(STATUS, connects=0.0), {}, NOW))
    assert stats["aggregatedEvents"] == []


def test_a_socket_is_listed_with_its_user_and_without_what_its_client_presented() -> None:
    name, (sockets,) = plain(admin_view.all_sockets(listed(BOB), NOW))
    assert name == "all_sockets"
    assert sockets == [
        {
            "id": "s1",
            "clientId": "c",
            "transport": "polling",
            "nsp": "/chats",
            "data": {"userId": "bob"},
            "handshake": {
                "address": "10.0.0.9",
                "issued": (NOW - 60) * 1_000,
                "headers": {},
                "query": {},
            },
            "rooms": ["s1", "chat:1", "user:bob"],
        }
    ]


@pytest.mark.parametrize(
    ("after", "events"),
    [
        (replace(BOB, seconds=62.0), []),
        (None, [("socket_disconnected", ("/chats", "s1", "disconnected", AT))]),
        (
            replace(BOB, transport="websocket"),
            [("socket_updated", ({"nsp": "/chats", "id": "s1", "transport": "websocket"},))],
        ),
        (
            replace(BOB, rooms=["chat:2", "user:bob"]),
            [
                ("room_joined", ("/chats", "chat:2", "s1", AT)),
                ("room_left", ("/chats", "chat:1", "s1", AT)),
            ],
        ),
        (
            replace(BOB, rooms=["chat:1"]),
            [("room_left", ("/chats", "user:bob", "s1", AT))],
        ),
    ],
)
def test_what_has_changed_is_told(after: SocketInfo | None, events: list[Any]) -> None:
    then = listed() if after is None else listed(after)
    assert list(admin_view.changes(listed(BOB), then, NOW)) == events


def test_a_socket_that_connects_is_told_whole() -> None:
    ((name, arguments),) = admin_view.changes({}, listed(BOB), NOW)
    _, ((socket,),) = plain(admin_view.all_sockets(listed(BOB), NOW))
    assert (name, plain(("", arguments))[1]) == ("socket_connected", (socket, AT))


def test_what_has_changed_is_told_of_sockets_behind_a_new_one() -> None:
    before = listed(replace(BOB, transport="websocket"))
    events = admin_view.changes(before, listed(replace(BOB, sid="s0"), BOB), NOW)
    assert [name for name, _ in events] == ["socket_connected", "socket_updated"]
