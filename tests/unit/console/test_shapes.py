"""What the console's API accepts as parameters, and what it leaves out of its answers."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
import pytest

from constellation_ws.api.reading import read_parameters
from constellation_ws.console import shapes
from constellation_ws.messages.events import UserId
from constellation_ws.services.refusals import RequestRefused

NAME = "n" * 512
VIEWER = {"viewer": "viewer-1"}


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        (shapes.UsersQuery, {}),
        (shapes.UsersQuery, {"prefix": NAME, "cursor": NAME, "limit": 200}),
        (shapes.UserPath, {"user": "b"}),
        (shapes.UserPath, {"user": NAME}),
        (shapes.RoomsQuery, {"prefix": NAME, "limit": 1}),
        (shapes.RoomQuery, {"room": "r"}),
        (shapes.RoomQuery, {"room": NAME, "cursor": NAME}),
        (shapes.TailQuery, {"viewer": "12345678"}),
        (shapes.TailQuery, {"viewer": "v" * 64, "cursor": "c" * 8_000, "room": NAME}),
        (shapes.KickQuery, {"user": "b"}),
        (shapes.KickQuery, {"user": NAME, "reason": "r" * 200}),
    ],
)
def test_parameters_within_the_bounds_are_accepted(
    shape: type[msgspec.Struct], given: dict[str, object]
) -> None:
    found = msgspec.structs.asdict(read_parameters({}, urlencode(given).encode(), shape))
    assert found | given == found


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        (shapes.UsersQuery, {"limit": 0}),
        (shapes.UsersQuery, {"limit": 201}),
        (shapes.UsersQuery, {"prefix": NAME + "n"}),
        (shapes.UsersQuery, {"color": "red"}),
        (shapes.UserPath, {"user": ""}),
        (shapes.UserPath, {"user": NAME + "n"}),
        (shapes.RoomQuery, {"room": ""}),
        (shapes.RoomQuery, {"room": NAME + "n"}),
        (shapes.TailQuery, {"viewer": "1234567"}),
        (shapes.TailQuery, {"viewer": "v" * 65}),
        (shapes.TailQuery, {"viewer": "viewer_1"}),
        (shapes.TailQuery, VIEWER | {"cursor": "c" * 8_001}),
        (shapes.KickQuery, {"user": ""}),
        (shapes.KickQuery, {"user": NAME + "n"}),
        (shapes.KickQuery, {"user": "b", "reason": "r" * 201}),
    ],
)
def test_parameters_out_of_bounds_are_refused(
    shape: type[msgspec.Struct], given: dict[str, object]
) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_parameters({}, urlencode(given).encode(), shape)
    assert refused.value.code == "invalid_request"


def test_a_page_holds_fifty_where_no_limit_is_given() -> None:
    pages = shapes.UsersQuery(), shapes.RoomsQuery(), shapes.RoomQuery("r")
    assert [page.limit for page in pages] == [50, 50, 50]


def test_a_channel_of_a_publication_is_bounded() -> None:
    def read(chars: int) -> shapes.Publication:
        text = b'{"channel": "%b", "data": {}}' % (b"c" * chars)
        return msgspec.json.decode(text, type=shapes.Publication)

    assert read(256).channel == "c" * 256
    with pytest.raises(msgspec.ValidationError):
        read(257)


def test_the_last_page_has_no_cursor() -> None:
    last = shapes.Users([UserId("b")]), shapes.RoomUsers([UserId("b")], complete=True)
    assert msgspec.json.encode(last) == b'[{"users":["b"]},{"users":["b"],"complete":true}]'
