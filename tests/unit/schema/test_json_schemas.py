"""JSON Schema: every type of the table has one, and acks are what the gateway sends."""

from __future__ import annotations

import jsonschema
import pytest

from constellation_ws.interface import value_types
from constellation_ws.messages.admission import FORBIDDEN
from constellation_ws.schema import json_schemas
from constellation_ws.schema.keys import Key


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
    assert jsonschema.Draft7Validator(schema).is_valid({"success": True, "data": {}}) is False
    assert jsonschema.Draft7Validator(schema).is_valid({"success": True}) is False


def test_equal_schemas_are_written_once() -> None:
    assert json_schemas.any_of([{"type": "string"}, {"type": "string"}]) == {"type": "string"}
    assert json_schemas.any_of([{"type": "string"}, {}]) == {"anyOf": [{"type": "string"}, {}]}
