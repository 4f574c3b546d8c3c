"""The names of namespaces' rooms: those of one are never those of another."""

from __future__ import annotations

import pytest

from constellation_ws.messages.events import MalformedEvent
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Namespaces, Scope

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
