"""The interface table as a whole: what is loaded, and that every fault is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_ws.interface import table
from constellation_ws.interface.rows import NamespaceRow, RequestRow
from constellation_ws.interface.table import InvalidInterface
from constellation_ws.messages.redis_emitter import EmitterChannels
from tests.tables import EXTENDS, ORDERS, faults, loaded, written

LIKES = """
[[route]]
channel = "like:new"
event = "like"
keys = ["from"]
to = ["user:{to}"]
"""


def test_without_a_file_the_table_is_the_contracts() -> None:
    found = table.load()
    assert found.namespaces == (NamespaceRow("/chats"),)
    assert found.backends == ()
    assert found.watches is False
    assert found.requests == (
        RequestRow("join-chat", "/chats", joins=("chat:{chatId}",), access="chat", bare="chatId"),
        RequestRow("leave-chat", "/chats", leaves=("chat:{chatId}",), bare="chatId"),
    )
    assert {route.namespace for route in found.routes} == {"/chats"}
    assert [route.channel for route in found.routes] == [
        "chat:newMessage",
        "chat:messageRead",
        "chat:typing",
        "chat:new",
        "chat:deleted",
        "user:status",
    ]


def test_a_file_is_the_whole_table(tmp_path: Path) -> None:
    found = loaded(tmp_path, ORDERS)
    assert [row.name for row in found.namespaces] == ["/orders"]
    assert [row.name for row in found.backends] == ["orders", "billing"]
    assert [row.event for row in found.requests] == ["follow-order", "place-order", "pay"]
    assert [row.channel for row in found.routes] == ["order:moved"]


def test_every_row_names_its_namespace_and_its_pattern(tmp_path: Path) -> None:
    found = loaded(tmp_path, ORDERS)
    assert {row.namespace for row in found.requests} == {"/orders"}
    assert {row.namespace for row in found.routes} == {"/orders"}
    assert [row.pattern for row in found.requests] == ["", "place-order", ""]


def test_a_file_may_extend_the_contracts_table(tmp_path: Path) -> None:
    found = loaded(tmp_path, EXTENDS + ORDERS)
    assert [row.name for row in found.namespaces] == ["/chats", "/orders"]
    assert [row.event for row in found.requests][:3] == ["join-chat", "leave-chat", "follow-order"]
    assert found.requests[2].namespace == "/chats", "the first namespace of the whole table"


def test_the_root_namespace_is_one_like_others(tmp_path: Path) -> None:
    text = EXTENDS + '[[namespace]]\nname = "/"\nidentity = "none"\n'
    assert loaded(tmp_path, text).namespaces[1] == NamespaceRow("/", "none")


def test_a_file_of_routes_adds_to_any_table(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(LIKES)
    assert table.load(None, routes).routes[-1].namespace == "/chats"
    found = table.load(written(tmp_path, ORDERS), routes)
    assert [(row.channel, row.namespace) for row in found.routes][-1] == ("like:new", "/orders")


@pytest.mark.parametrize("text", ["version = 1\n", '[[namespace]]\nname = "/x"\n'])
def test_a_file_of_routes_holds_nothing_else(tmp_path: Path, text: str) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(text + LIKES)
    with pytest.raises(InvalidInterface, match=r"routes\.toml must hold \[\[route\]\] entries"):
        table.load(None, routes)


def test_a_namespace_without_rows_is_no_fault(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[[namespace]]\nname = "/later"\n').requests == ()


def test_every_fault_is_named_at_once_each_in_a_line(tmp_path: Path) -> None:
    text = """
    extends = "theirs"
    version = 1
    [[namespace]]
    name = "orders"
    [[backend]]
    name = "orders"
    nest = "orders-api"
    timeout_ms = 0
    [[request]]
    event = "connect"
    leaves = ["order:{a}:{b}"]
    color = "red"
    [[request]]
    event = "disconnect"
    [[route]]
    channel = "like:*"
    event = "like"
    to = "user:{to}"
    [[route]]
    channel = "like:*"
    event = "like\\nit"
    keys = []
    to = ["user"]
    """
    assert faults(tmp_path, text) == [
        'interface.toml: extends must be "default": there is no other table',
        "interface.toml: version is not known; a table has extends, [[namespace]], [[backend]], "
        "[[request]] and [[route]]",
        "interface.toml, request 1 (connect): color is not known; the keys are event, namespace, "
        "joins, leaves, watches, unwatches, emits, access, bare, to, backend, pattern, path, "
        "channel, stream, in_room, claims, rooms, idempotent, types",
        "interface.toml, route 1 (like:*): keys is missing",
        "interface.toml, route 1 (like:*): to must be a list of strings",
        'interface.toml, namespace 1 (orders): name must begin with "/" and hold no space, comma, '
        '# or ? such as "/orders"',
        "interface.toml, backend 1 (orders): nest must be a host and a port such as "
        '"orders-api:4000"',
        "interface.toml, backend 1 (orders): timeout_ms must be from 1 to 60000",
        "interface.toml, request 2 (disconnect): disconnect is an event name that Socket.IO "
        "reserves; use another name",
        "interface.toml, request 2 (disconnect): it must have exactly one of joins, leaves, "
        "watches, unwatches and to, and has none of them",
        "interface.toml, route 2 (like:*): wildcards (*) are not supported; add a route for each "
        "channel",
        "interface.toml, route 2 (like:*): 'user' is not a room template such as 'user:{userId}'",
    ]


def test_a_file_that_cannot_be_read_is_the_only_kind_of_fault(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInterface) as caught:
        table.load(tmp_path / "absent.toml", routes)
    absent, binary = str(caught.value).split("\n")
    assert "absent.toml cannot be read" in absent
    assert "routes.toml cannot be read" in binary


@pytest.mark.parametrize(
    "text", ["[[route]", "a = " + "[" * 5_000, "a = 1979-99-99", "a = 1\na = 1"]
)
def test_what_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert fault.startswith("interface.toml is not TOML: ")


def test_a_table_must_have_a_namespace(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, LIKES)
    assert fault == (
        'the table has no [[namespace]]; add one, or begin it with extends = "default"'
    )


def test_a_deployment_with_other_names_reserves_those(tmp_path: Path) -> None:
    own = LIKES.replace("like:new", "mine:events") + LIKES.replace("like:new", "theirs#/x#")
    file = written(tmp_path, EXTENDS + own)
    assert len(table.load(file).routes) == 8
    with pytest.raises(InvalidInterface) as caught:
        table.load(file, own_prefix="mine", emitters=EmitterChannels("theirs"))
    assert str(caught.value).count("this channel is reserved for pods and emitters") == 2
