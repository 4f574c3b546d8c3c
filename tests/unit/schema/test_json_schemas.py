"""JSON Schema: every type of the table has one, and acks are what the gateway sends."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from constellation_ws.interface import value_types
from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.messages.admission import FORBIDDEN
from constellation_ws.schema import json_schemas
from constellation_ws.schema.keys import Key

TYPES = {"a": "boolean", "c": "list", "d": "string?"}
TYPED = RequestRow("e", to="log", in_room="chat:{b}", bare="b", types=TYPES)
WHOLE = {"a": True, "b": "c", "c": []}
WATCH = RequestRow("e", watches="u")
ANY = RequestRow("e", to="log")


def fits(value: Any, schema: Any) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(value)


def test_every_type_has_a_schema() -> None:
    assert tuple(json_schemas.VALUES) == value_types.NAMES


def test_a_refusal_of_the_gateway_is_one_and_no_success() -> None:
    ack = FORBIDDEN.acknowledgement()

    jsonschema.validate(ack, json_schemas.REFUSED)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(ack, json_schemas.success())


def test_a_success_has_its_data() -> None:
    schema = json_schemas.success(json_schemas.object_of([Key("a", "id", True)]))

    jsonschema.validate({"success": True, "data": {"a": 7}}, schema)
    assert not fits({"success": True, "data": {}}, schema)
    assert not fits({"success": True}, schema)


@pytest.mark.parametrize(
    ("row", "value", "is_valid"),
    [
        (ANY, 7, True),
        (TYPED, WHOLE, True),
        (TYPED, WHOLE | {"d": None, "other": 1}, True),
        (TYPED, WHOLE | {"d": 1}, False),
        (TYPED, WHOLE | {"a": None}, False),
        (TYPED, WHOLE | {"b": ""}, False),
        (TYPED, {"a": True, "c": []}, False),
        (TYPED, "c", True),
        (TYPED, True, False),
        (TYPED, [], False),
        (WATCH, {"u": "c"}, True),
        (WATCH, {"u": [7]}, True),
        (WATCH, {"u": []}, False),
    ],
)
def test_a_request_has_what_its_row_says(row: RequestRow, value: Any, is_valid: bool) -> None:
    assert fits(value, json_schemas.of_request(row)) is is_valid


def test_an_event_has_one_recipient_at_least() -> None:
    one = RouteRow("c", "e", ("x",), ("user:{a}",), types={"a": "id"})
    either = RouteRow("c", "e", ("x",), ("user:{a}", "chat:{b}"))

    assert json_schemas.of_publication(one) == {
        "type": "object",
        "properties": {"x": {}, "a": json_schemas.VALUES["id"]},
        "required": ["a"],
    }
    published = json_schemas.of_publication(either)
    accepted = [fits(value, published) for value in ({"a": 1}, {"b": 1}, {"x": 1})]
    assert accepted == [True, True, False]
    assert fits({}, json_schemas.of_event(either))


def test_equal_schemas_are_written_once() -> None:
    assert json_schemas.any_of([{"type": "string"}, {"type": "string"}]) == {"type": "string"}
    assert json_schemas.any_of([{"type": "string"}, {}]) == {"anyOf": [{"type": "string"}, {}]}
