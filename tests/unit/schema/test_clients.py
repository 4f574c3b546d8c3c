"""What clients of a namespace send and receive, and where tokens may be refreshed."""

from __future__ import annotations

from pathlib import Path

from constellation_ws.schema import clients
from tests.tables import EXTENDS, ORDERS, loaded

ANYONE = '\n[[namespace]]\nname = "/"\nidentity = "none"\n'
SHOPS = '\n[[namespace]]\nname = "/shops"\n'
SAME_EVENT = (
    '\n[[route]]\nchannel = "like:new"\nevent = "new-chat"\nkeys = ["by"]\nto = ["user:{u}"]\n'
)


def test_each_namespace_has_its_own(tmp_path: Path) -> None:
    interface = loaded(tmp_path, ORDERS + ANYONE + SHOPS)

    orders, *others = clients.of_namespaces(interface, has_tokens=False)

    assert [one.name for one in (orders, *others)] == ["/orders", "/", "/shops"]
    assert [row.event for row in orders.requests] == ["follow-order", "place-order", "pay"]
    assert [*orders.events] == ["order-moved"]
    assert [(one.requests, one.events) for one in others] == [([], {}), ([], {})]


def test_tokens_are_refreshed_where_clients_have_some(tmp_path: Path) -> None:
    interface = loaded(tmp_path, EXTENDS + ANYONE)

    chats, anyone = clients.of_namespaces(interface, has_tokens=True)

    assert [row.event for row in chats.requests] == ["join-chat", "leave-chat", "refresh-token"]
    assert anyone.requests == []


def test_several_routes_may_send_one_event(tmp_path: Path) -> None:
    (chats,) = clients.of_namespaces(loaded(tmp_path, EXTENDS + SAME_EVENT), has_tokens=False)

    assert [row.channel for row in chats.events["new-chat"]] == ["chat:new", "like:new"]
