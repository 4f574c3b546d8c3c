"""Keys of requests and events: what the gateway requires is required, nothing else is."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema
import pytest

from constellation_ws.delivery.routes import Route, TypedRoute
from constellation_ws.interface.requests import RequestReader, Wanted
from constellation_ws.interface.rows import Removal, RequestRow, RouteRow
from constellation_ws.messages.events import MalformedEvent
from constellation_ws.schema import json_schemas, keys
from constellation_ws.schema.keys import Key

ABSENT = object()
VALUES: tuple[Any, ...] = (ABSENT, None, True, 1, 1.5, "", "a", [], ["a", 1], {})
ROUTES = (
    RouteRow("c", "e", ("a", "b"), ("user:{a}",)),
    RouteRow("c", "e", ("a", "b"), ("user:{a}", "chat:{b}")),
    RouteRow("c", "e", ("a",), ("chat:{a}",), except_="user:{b}"),
    RouteRow("c", "e", ("b",), ("user:{a}",), removes=Removal("user:{a}", "chat:{b}")),
    RouteRow("c", "e", ("a", "b"), ("user:{a}", "user:{b}"), types={"a": "id?", "b": "string?"}),
    RouteRow("c", "e", ("a", "b"), ("user:{a}",), types={"a": "id?", "b": "number"}),
    RouteRow("c", "e", ("a", "b"), ("user:{a}",), unless_empty="b", types={"b": "list"}),
)
REQUESTS = (
    RequestRow("e", joins=("chat:{a}",), bare="a"),
    RequestRow("e", leaves=("chat:{a}", "order:{b}")),
    RequestRow("e", to="log", in_room="chat:{a}", types={"a": "id?", "b": "object?"}),
    RequestRow("e", to="log", types={"a": "boolean", "b": "list?"}),
    RequestRow("e", to="log", types={"a": "id?", "b": "string"}),
    RequestRow("e", to="log"),
)


def objects() -> list[Any]:
    """Objects with every two of the values."""
    pairs = itertools.product(VALUES, VALUES)
    return [
        {name: value for name, value in zip("ab", pair, strict=True) if value is not ABSENT}
        for pair in pairs
    ]


def fits(value: Any, schema: Any) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(value)


@pytest.mark.parametrize("row", ROUTES)
def test_what_a_route_accepts_fits_its_schemas(row: RouteRow) -> None:
    route = (TypedRoute if row.types else Route)(row)
    published, event = json_schemas.of_publication(row), json_schemas.of_event(row)
    accepted = refused = 0
    for value in objects():
        try:
            message = route.route(json.dumps(value).encode())
        except MalformedEvent:
            refused += not fits(value, published)
            continue
        accepted += 1
        assert fits(value, published), value
        if message is not None:
            forwarded = {key: value[key] for key in row.keys if key in value}
            assert fits(forwarded, event), forwarded
    assert accepted
    assert refused


@pytest.mark.parametrize("row", REQUESTS)
def test_a_request_is_accepted_if_it_fits_its_schema(row: RequestRow) -> None:
    reader, schema = RequestReader(row, 100), json_schemas.of_request(row)
    bare = [value for value in VALUES if value is not ABSENT]
    for value in [*objects(), *bare]:
        is_accepted = isinstance(reader.read(json.dumps(value).encode()), Wanted)
        if isinstance(value, dict) or not is_accepted or row.bare:
            assert fits(value, schema) == is_accepted, value


def test_users_to_watch_are_required_and_the_ack_has_those_who_are_online() -> None:
    watch, unwatch = RequestRow("e", watches="u"), RequestRow("e", unwatches="u")

    assert keys.of_request(watch) == keys.of_request(unwatch) == [Key("u", keys.IDS, True)]
    assert keys.of_answer(watch) == [Key("online", keys.USERS, True)]
    assert keys.of_answer(unwatch) == []


def test_the_contract_s_ack_repeats_the_ids() -> None:
    row = RequestRow("e", joins=("chat:{a}", "order:{b}"), bare="a", types={"b": "number"})

    assert keys.of_answer(row) == [Key("a", "id", True), Key("b", "number", True)]
    assert keys.of_types({"a": "id?"}) == [Key("a", "id", False)]


def test_whoever_an_event_is_hidden_from_or_removes_must_be_named() -> None:
    row = RouteRow(
        "c", "e", ("a",), ("user:{u}",), except_="user:{x}", removes=Removal("user:{w}", "chat:{c}")
    )

    required = [key.name for key in keys.of_publication(row) if key.is_required]
    assert required == ["u", "x", "w", "c"]


def test_keys_that_only_address_an_event_are_not_of_what_clients_receive() -> None:
    row = RouteRow("c", "e", ("b", "a"), ("user:{u}",), unless_empty="n", types={"a": "string?"})

    assert keys.of_event(row) == [Key("b", None, False), Key("a", "string", False)]
    assert [key.name for key in keys.of_publication(row)] == ["b", "a", "u", "n"]
    assert keys.recipients(row) == ["u"]
