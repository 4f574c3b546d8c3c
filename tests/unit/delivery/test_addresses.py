"""Whom an event addresses, read without the rest of it: never anything else than the route says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from constellation_ws.delivery.addresses import Addresses, are_decisive
from constellation_ws.delivery.routes import compile_table
from constellation_ws.interface.rows import Removal, RouteRow
from constellation_ws.messages.events import MalformedEvent
from constellation_ws.messages.namespaces import DEFAULT_SCOPE
from tests.event_cases import EventCase, event_cases
from tests.tables import compiled

ROW = RouteRow(
    channel="c", event="e", keys=("text",), to=("user:{u}", "chat:{c}"), except_="user:{by}"
)
TABLE = compile_table([msgspec.structs.replace(ROW, namespace="/chats")])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.text(max_size=2), st.integers(), st.none(), st.floats()), max_size=3),
    st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
)


def rooms(event: dict[str, Any] | bytes) -> list[str] | None:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    found = Addresses(ROW, DEFAULT_SCOPE).rooms(raw)
    return None if found is None else list(found)


def says(raw: bytes, found: list[str]) -> bool:
    """Whether the route names these rooms too, and nothing else may come of the event."""
    message = TABLE["c"].route(raw)
    assert message is not None
    return list(message.rooms) == found and not (
        message.empties or message.removals or message.invalid_ids
    )


@given(st.dictionaries(st.sampled_from(["u", "c", "by", "text", "other"]), VALUES))
@example({"u": [1, "a"], "c": 2, "by": 0, "text": "\ud83d"})
@example({"u": [], "by": 1})
@example({"u": 1.0, "by": 1})
def test_what_the_addresses_say_the_route_says(event: dict[str, Any]) -> None:
    raw = json.dumps(event).encode()
    found = rooms(raw)
    assert found is None or says(raw, found)


@given(st.binary(max_size=30))
def test_any_bytes_are_left_to_the_route_or_read_as_it_does(tail: bytes) -> None:
    for raw in (tail, b'{"u":1,"by":2,"text":' + tail + b"}"):
        found = rooms(raw)
        if found is not None:
            assert says(raw, found)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"by": 1}, id="without a recipient"),
        pytest.param({"u": 1}, id="without the author that is left out"),
        pytest.param({"u": ["a", None], "by": 1}, id="with a value that is no id"),
        pytest.param({"u": 1.5, "by": 1}, id="with a recipient that is no id"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"u":1,"by":1,"text":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"u":1,"by":1', id="not JSON"),
        pytest.param(b'{"u":1,"by":1,"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
    ],
)
def test_what_may_be_malformed_is_left_to_the_route(event: dict[str, Any] | bytes) -> None:
    assert rooms(event) is None


def test_rooms_are_named_in_order_with_a_list_of_users() -> None:
    assert rooms({"u": ["a", 1], "c": "x", "by": "b"}) == ["user:a", "user:1", "chat:x"]


@pytest.mark.parametrize(
    "more",
    [
        {"empties": ("chat:{c}",)},
        {"removes": Removal("user:{u}", "chat:{c}")},
        {"unless_empty": "text"},
        {"types": {"text": "string"}},
    ],
)
def test_they_do_not_decide_for_a_route_that_does_more_than_send(more: dict[str, Any]) -> None:
    row = RouteRow(channel="c", event="e", keys=("text",), to=("user:{u}",), **more)
    assert not are_decisive(row)
    assert are_decisive(ROW)


@pytest.mark.parametrize("case", event_cases(), ids=lambda case: case.name)
def test_a_sample_is_read_as_its_route_reads_it(case: EventCase) -> None:
    route = compiled()[case.channel]
    if route.addresses is None:
        return
    try:
        message = route.route(case.publish.encode())
    except MalformedEvent:
        message = None
    found = route.addresses.rooms(case.publish.encode())
    assert found is None or (message is not None and list(message.rooms) == list(found))
