"""What rows of a table are where they leave keys out, and that they have no other keys."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from constellation_ws.interface.rows import (
    BackendRow,
    NamespaceRow,
    Removal,
    RequestRow,
    RouteRow,
)

ROWS: list[tuple[type[msgspec.Struct], dict[str, Any]]] = [
    (NamespaceRow, {"name": "/n"}),
    (BackendRow, {"name": "b"}),
    (RequestRow, {"event": "e"}),
    (RouteRow, {"channel": "c", "event": "e", "keys": (), "to": ()}),
    (Removal, {"who": "user:{u}", "from": "chat:{c}"}),
]


@pytest.mark.parametrize(("shape", "least"), ROWS)
def test_a_row_has_no_other_keys(shape: type[msgspec.Struct], least: dict[str, Any]) -> None:
    assert isinstance(msgspec.convert(least, shape), shape)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({**least, "other": 1}, shape)


def test_what_a_row_leaves_out_is_as_documented() -> None:
    backend = BackendRow("b")
    assert (backend.timeout_ms, backend.max_concurrent) == (5_000, 64)
    assert not RouteRow("c", "e", (), ()).volatile
    request = RequestRow("e")
    assert (request.emits, request.access) == ("presence", "none")
    assert (request.rooms, request.idempotent) == (False, False)
    assert NamespaceRow("/n").identity == "required"


@pytest.mark.parametrize(
    ("to", "said", "is_divided_by"),
    [
        (("user:{a}", "chat:{b}", "order:{c}"), "", "chat:{b}"),
        (("user:{a}", "user:{b}"), "", "user:{a}"),
        (("chat:{b}",), "order:{c}", "order:{c}"),
    ],
)
def test_events_are_divided_by_a_shared_room_unless_the_row_says_otherwise(
    to: tuple[str, ...], said: str, is_divided_by: str
) -> None:
    assert RouteRow("c", "e", (), to, partition_by=said).effective_partition_by() == is_divided_by
