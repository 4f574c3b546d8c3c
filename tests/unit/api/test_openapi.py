"""The OpenAPI document: valid, complete, and of the types that read and write."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from constellation_ws.api import openapi
from constellation_ws.api.operations import Operations
from constellation_ws.api.problems import STATUSES
from tests.tables import compiled

TABLE = compiled()
ROWS = Operations(cast("Any", None)).rows()
METHODS = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(openapi.document(ROWS, TABLE, ["/chats"]))


def test_it_is_valid(document: Any) -> None:
    assert [*OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_has_every_row_of_the_contract(document: Any) -> None:
    assert {
        f"{method.upper()} {path}": operation["security"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    } == {
        "GET /v1/openapi.json": [],
        "POST /v1/publish": [{"key": ["publish"]}],
        "POST /v1/users/{user}/send": [{"key": ["send"]}],
        "POST /v1/rooms/{room}/send": [{"key": ["send"]}],
        "GET /v1/users/{user}": [{"key": ["read"]}],
        "GET /v1/users": [{"key": ["read"]}],
        "GET /v1/rooms/{room}/members": [{"key": ["read"]}],
        "PUT /v1/users/{user}/rooms/{room}": [{"key": ["rooms"]}],
        "DELETE /v1/users/{user}/rooms/{room}": [{"key": ["rooms"]}],
        "DELETE /v1/users/{user}/connections": [{"key": ["rooms"]}],
    }


def test_every_code_is_described_with_its_status(document: Any) -> None:
    described = {
        status: response["description"]
        for status, response in document["components"]["responses"].items()
    }
    unreachable = {"not_found", "method_not_allowed"}  # of no operation

    for code, status in STATUSES.items():
        assert code in unreachable or f"`{code}`" in described[str(int(status))]


def test_channels_are_those_of_the_table(document: Any) -> None:
    event = document["components"]["schemas"]["Event"]

    assert event["properties"]["channel"]["enum"] == sorted(TABLE)


@pytest.mark.parametrize(
    ("body", "is_valid"),
    [
        ({"channel": "chat:new", "data": {}}, True),
        ([{"channel": "chat:new", "data": {}}], True),
        ({"channel": "chat:new", "data": []}, False),
        ({"channel": "chat:nowhere", "data": {}}, False),
        ({"channel": "chat:new"}, False),
        ({"channel": "chat:new", "data": {}, "more": 1}, False),
        ([], False),
    ],
)
def test_bodies_are_described_as_they_are_read(document: Any, body: object, is_valid: bool) -> None:
    content = document["paths"]["/v1/publish"]["post"]["requestBody"]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}

    assert Draft202012Validator(schema).is_valid(body) is is_valid


def test_parameters_are_in_the_path_or_in_the_query(document: Any) -> None:
    members = document["paths"]["/v1/rooms/{room}/members"]["get"]["parameters"]

    assert [(one["name"], one["in"], one["required"]) for one in members] == [
        ("room", "path", True),
        ("cursor", "query", False),
        ("limit", "query", False),
        ("namespace", "query", False),
    ]
    assert members[1]["schema"] == {"type": "string"}
    assert members[2]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 100,
    }
    assert members[3]["schema"]["enum"] == ["", "/chats"]
    assert all(one["description"] for one in members)


def test_every_operation_says_what_it_does(document: Any) -> None:
    names = [
        operation["operationId"]
        for methods in document["paths"].values()
        for method, operation in methods.items()
        if method in METHODS and operation["summary"]
    ]

    assert len(set(names)) == len(names) == len(ROWS) + 1
