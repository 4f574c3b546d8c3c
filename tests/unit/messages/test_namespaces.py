"""The names of namespaces' rooms: those of one are never those of another."""

from __future__ import annotations

import pytest

from constellation_ws.messages.events import MalformedEvent, UserId
from constellation_ws.messages.namespaces import (
    DEFAULT_SCOPE,
    Namespaces,
    Scope,
    everyone,
    packet_prefix,
    scope_of,
    standing_rooms,
)

SERVED = Namespaces(["/shop", "/orders", "/"])


@pytest.mark.parametrize("room", ["/orders,order:1", "/orders,", "/,x", "/orders,/shop,x"])
def test_a_room_of_the_default_namespace_is_none_of_another(room: str) -> None:
    with pytest.raises(MalformedEvent):
        SERVED.rooms(DEFAULT_SCOPE, ["mine", room])
    assert SERVED.rooms(Scope("/orders,"), [room]) == (f"/orders,{room}",)
    assert Namespaces(["/shop"]).rooms(DEFAULT_SCOPE, [room]) == (room,)


def test_rooms_of_namespaces_that_are_not_served_are_rooms_like_others() -> None:
    rooms = ("/order,x", "/orders", "/shop,x", "user:/orders,x", ",")
    assert SERVED.rooms(DEFAULT_SCOPE, rooms) == rooms


def test_the_first_namespace_is_the_default_one() -> None:
    assert SERVED.default == "/shop"
    assert [SERVED.scope(name) for name in ("/shop", "/orders", "/")] == ["", "/orders,", "/,"]
    assert "/orders" in SERVED
    assert "/order" not in SERVED


@pytest.mark.parametrize(
    ("own_room", "scope"),
    [
        ("sid", ""),
        ("-sid_1", ""),
        ("a,b", ""),
        ("/orders,sid", "/orders,"),
        ("/,sid", "/,"),
        ("", ""),
    ],
)
def test_a_members_own_room_begins_with_its_scope(own_room: str, scope: str) -> None:
    assert scope_of(own_room) == scope


@pytest.mark.parametrize(
    ("scope", "user", "rooms"),
    [
        (DEFAULT_SCOPE, "u", ["user:u"]),
        (DEFAULT_SCOPE, "", []),
        (Scope("/orders,"), "u", ["/orders,", "/orders,user:u"]),
        (Scope("/orders,"), "", ["/orders,"]),
    ],
)
def test_a_member_is_in_its_users_room_and_in_that_of_its_namespace(
    scope: Scope, user: str, rooms: list[str]
) -> None:
    assert standing_rooms(scope, UserId(user)) == rooms


def test_everyone_in_the_default_namespace_has_no_room() -> None:
    assert everyone(DEFAULT_SCOPE) is None
    assert everyone(Scope("/orders,")) == ("/orders,",)


@pytest.mark.parametrize(
    ("namespace", "prefix"),
    [("/", b""), ("/chats", b"/chats,"), ("!", b"!,"), ("заказы", "заказы,".encode())],
)
def test_a_packet_names_its_namespace_unless_it_is_the_root(namespace: str, prefix: bytes) -> None:
    assert packet_prefix(namespace) == prefix
