"""The OpenAPI document, made of the operations and of the types that read and write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from constellation_ws import __version__
from constellation_ws.api.operations import Operation
from constellation_ws.api.problems import STATUSES
from constellation_ws.api.shapes import Emission, Event, Problem, UserEmission

PATH = "/v1/openapi.json"

Json = dict[str, Any]

_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""Answers that any operation may give."""
_BODY_REFUSALS = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_RETRY_AFTER = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
_RETRY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A key of your choice, new for each request. Requests with the same key and the "
    "same content are carried out once, at whichever pod, and all get the first one's answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_DESCRIPTION = (
    "What services may do in all pods: publish events, send to users and rooms, ask who is online, "
    "move users between rooms, disconnect them. Each key has scopes; `security` names the one that "
    "an operation requires."
)


def document(
    operations: Iterable[Operation], channels: Iterable[str], namespaces: Iterable[str]
) -> bytes:
    """Write the document, with the channels and the namespaces of the interface table."""
    rows, named = tuple(operations), ["", *sorted(namespaces)]
    answers = {answer for row in rows for answer in row.answers}
    bodies = [row.body for row in rows if row.body is not None]
    (problem, *schemas), components = msgspec.json.schema_components(
        [Problem, *bodies, *answers], ref_template="#/components/schemas/{name}"
    )
    components[Event.__name__]["properties"]["channel"]["enum"] = sorted(channels)
    for emission in (Emission, UserEmission):
        components[emission.__name__]["properties"]["namespace"]["enum"] = named
    left = iter(schemas)
    paths: Json = {PATH: {"get": _own_operation()}}
    for row in rows:
        body = next(left) if row.body is not None else None
        paths.setdefault(row.template, {})[row.method.lower()] = _operation(row, body, named)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Constellation WS",
                "version": __version__,
                "description": _DESCRIPTION,
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
                "responses": {str(int(status)): _refusal(status, problem) for status in _all()},
            },
        }
    )


def _operation(row: Operation, body: Json | None, namespaces: Sequence[str]) -> Json:
    refusals = [*_REFUSALS, *(_BODY_REFUSALS if body else ())]
    if row.may_repeat:
        refusals.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    described: Json = {
        "operationId": row.name,
        "summary": row.summary,
        "security": [{"key": [row.scope]}],
        "parameters": [*_parameters(row, namespaces), *([_RETRY_KEY] if row.may_repeat else [])],
        "responses": {
            str(int(row.status)): {"description": row.status.phrase, "content": _answers(row)},
            **{str(int(status)): _reference("responses", int(status)) for status in refusals},
        },
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": _json(body)}
    return described


def _answers(row: Operation) -> Json:
    schemas = [_reference("schemas", one.__name__) for one in row.answers]
    return _json(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})


def _reference(kind: str, name: object) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _parameters(row: Operation, namespaces: Sequence[str]) -> list[Json]:
    """Describe each field of the parameters' type: in the path if the template names it."""
    (_, components) = msgspec.json.schema_components([row.parameters])
    schema = components[row.parameters.__name__]
    required = schema.get("required", [])
    found = []
    for name, field in schema["properties"].items():
        is_in_path = f"{{{name}}}" in row.template
        described = dict(field)
        description = described.pop("description", "")
        if name == "namespace":
            described["enum"] = namespaces
        found.append(
            {
                "name": name,
                "in": "path" if is_in_path else "query",
                "required": is_in_path or name in required,
                "description": description,
                "schema": _without_null(described),
            }
        )
    return found


def _without_null(schema: Mapping[str, Any]) -> Json:
    """Describe a parameter that may be absent; a URL cannot say null."""
    options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
    return {**rest, **(options[0] if options else {})}


def _refusal(status: HTTPStatus, problem: Json) -> Json:
    codes = [f"`{code}`" for code, one in STATUSES.items() if one is status]
    described: Json = {
        "description": f"{status.phrase}: {', '.join(codes)}" if codes else status.phrase,
        "content": _json(problem),
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        described["headers"] = {"Retry-After": _RETRY_AFTER}
    return described


def _all() -> list[HTTPStatus]:
    return sorted({*_REFUSALS, *_BODY_REFUSALS, HTTPStatus.UNPROCESSABLE_ENTITY})


def _own_operation() -> Json:
    return {
        "operationId": "getOpenApi",
        "summary": "This document",
        "security": [],
        "responses": {
            "200": {"description": "OK", "content": _json({"type": "object"})},
        },
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
