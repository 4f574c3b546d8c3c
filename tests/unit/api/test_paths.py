"""Which template a path is of: ids of any characters, and nothing that is another path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.api.paths import BadPath, Paths

PATHS = Paths(
    {
        "/v1/users": "users",
        "/v1/users/{user}": "user",
        "/v1/users/{user}/rooms/{room}": "user in room",
        "/v1/rooms/{room}/members": "members",
    }
)
ids = st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("path", "thing", "values"),
    [
        (b"/v1/users", "users", {}),
        (b"/v1/users/u1", "user", {"user": "u1"}),
        (b"/v1/users/a%2Fb", "user", {"user": "a/b"}),
        (b"/v1/users/a%2fb%2F", "user", {"user": "a/b/"}),
        (b"/v1/users/%252F", "user", {"user": "%2F"}),
        (b"/v1/users/a+b%20c", "user", {"user": "a+b c"}),
        (b"/v1/users/%D0%AF%F0%9F%98%80", "user", {"user": "Я😀"}),
        (b"/v1/users/..%2F..", "user", {"user": "../.."}),
        (b"/v1/users/%00", "user", {"user": "\0"}),
        (b"/v1/users/%zz%", "user", {"user": "%zz%"}),
        (b"/v1/users/{user}", "user", {"user": "{user}"}),
        (b"/v1/users/rooms/rooms/rooms", "user in room", {"user": "rooms", "room": "rooms"}),
        (b"/v1/rooms/chat:c1/members", "members", {"room": "chat:c1"}),
        (b"/v1/rooms/members/members", "members", {"room": "members"}),
    ],
)
def test_a_path_is_cut_at_its_slashes_and_decoded_then(
    path: bytes, thing: str, values: dict[str, str]
) -> None:
    assert PATHS.find(path) == (thing, values)


@pytest.mark.parametrize(
    "path",
    [
        *(b"", b"/", b"*", b"/v1", b"/v1/", b"v1/users", b"//v1/users", b"/V1/users"),
        *(b"/v1/users/", b"/v1/users//rooms/r", b"/v1/users/u/rooms/", b"/v1/users/u/rooms/r/"),
        *(b"/v1/zebras", b"/v2/users", b"/v1/zebras/u1", b"/v1/abc"),
        *(b"/v1%2Fusers", b"/v1/rooms", b"/v1/rooms/r", b"/v1/users/u/r%6Foms/r", b"/v1/./users"),
    ],
)
def test_what_is_of_no_template_is_not_found(path: bytes) -> None:
    assert PATHS.find(path) is None


@pytest.mark.parametrize("path", [b"/v1/users/%ff", b"/v1/users/\xff", b"/v1/users/%ED%A0%80"])
def test_what_is_not_utf8_is_refused(path: bytes) -> None:
    with pytest.raises(BadPath):
        PATHS.find(path)


@given(ids, ids)
def test_every_id_can_be_named(user: str, room: str) -> None:
    path = f"/v1/users/{quote(user, safe='')}/rooms/{quote(room, safe='')}"

    assert PATHS.find(path.encode()) == ("user in room", {"user": user, "room": room})
