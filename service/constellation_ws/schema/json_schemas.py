"""Keys -> JSON Schema, as AsyncAPI has it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.schema import keys
from constellation_ws.schema.keys import Key

Json = dict[str, Any]

VALUES: Mapping[str, Json] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "id": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]},
    "list": {"type": "array"},
    "object": {"type": "object"},
}
"""What each type of the table is."""
_OWN_VALUES: Mapping[str, Json] = {
    keys.IDS: {"anyOf": [VALUES["id"], {"type": "array", "items": VALUES["id"], "minItems": 1}]},
    keys.USERS: {"type": "array", "items": VALUES["string"]},
}
_NULL: Json = {"type": "null"}

REFUSED: Json = {
    "type": "object",
    "required": ["success", "error"],
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": VALUES["string"], "message": VALUES["string"]},
        },
    },
}
"""The answer to a request that is refused."""


def success(data: Json | None = None) -> Json:
    """Describe the answer to a request that is carried out; with None it has no `data`."""
    described: Json = {"success": {"const": True}}
    if data is not None:
        described["data"] = data
    return {"type": "object", "required": list(described), "properties": described}


def object_of(found: Iterable[Key]) -> Json:
    """Describe an object, which may have other keys too."""
    found = list(found)
    described: Json = {"type": "object", "properties": {key.name: _value(key) for key in found}}
    if required := [key.name for key in found if key.is_required]:
        described["required"] = required
    return described


def any_of(schemas: Iterable[Json]) -> Json:
    """Describe a value that fits one of the schemas."""
    options: list[Json] = []
    for schema in schemas:
        if schema not in options:
            options.append(schema)
    return options[0] if len(options) == 1 else {"anyOf": options}


def of_request(row: RequestRow) -> Json:
    """Describe what a client sends."""
    found = keys.of_request(row)
    if not found:
        return {}
    bare = [_value(key) for key in found if key.name == row.bare]
    return any_of([object_of(found), *bare])


def of_publication(row: RouteRow) -> Json:
    """Describe what is published on the channel of a route."""
    described = object_of(keys.of_publication(row))
    recipients: Sequence[str] = keys.recipients(row)
    if len(recipients) > 1:
        described["anyOf"] = [{"required": [key]} for key in recipients]
    return described


def of_event(row: RouteRow) -> Json:
    """Describe what clients receive."""
    return object_of(keys.of_event(row))


def _value(key: Key) -> Json:
    if key.type is None:
        return {}
    schema = _OWN_VALUES.get(key.type) or VALUES[key.type]
    return schema if key.is_required else {"anyOf": [schema, _NULL]}
