"""The AsyncAPI document: complete, and each reference leads somewhere.

tests/journey/test_schema.py has it judged by the official parser.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from constellation_ws.backends.request import BackendRequest, encode
from constellation_ws.interface.table import Interface, load
from constellation_ws.messages.events import UserId
from constellation_ws.nest.rpc import REQUESTS
from constellation_ws.schema import asyncapi, clients
from constellation_ws.schema.asyncapi import Ports
from tests.tables import ORDERS, loaded

FORWARDED = """
[[request]]
event = "report"
to = "channel"
channel = "order:reported"
types = { lat = "number" }

[[route]]
channel = "{braces}"
event = "order-moved"
keys = ["lng"]
to = ["order:{orderId}"]
"""


def described(interface: Interface) -> Any:
    namespaces = clients.of_namespaces(interface, has_tokens=False)
    document = asyncapi.document(namespaces, interface.routes, REQUESTS, Ports(7000, 7756))
    return json.loads(msgspec.json.encode(document))


@pytest.fixture(scope="module")
def default() -> Any:
    return described(load())


@pytest.fixture
def orders(tmp_path: Path) -> Any:
    return described(loaded(tmp_path, ORDERS + FORWARDED))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = [*value.values()]
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def target(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def is_valid(document: Any, schema: Any, value: Any) -> bool:
    whole = {**schema, "components": document["components"]}
    return jsonschema.Draft7Validator(whole).is_valid(value)


def test_every_reference_leads_somewhere(default: Any, orders: Any) -> None:
    for document in (default, orders):
        for reference in references(document):
            assert target(document, reference)


def test_clients_channels_and_patterns_are_there(default: Any) -> None:
    channels = [
        "chat:newMessage",
        "chat:messageRead",
        "chat:typing",
        "chat:new",
        "chat:deleted",
        "user:status",
    ]

    assert {*default["channels"]} == {
        "socketio:/chats",
        *(f"redis:{channel}" for channel in channels),
        *(f"tcp:{pattern}" for pattern in (*channels, *REQUESTS)),
    }
    assert [*default["channels"]["socketio:/chats"]["messages"]] == [
        "event:new-message",
        "event:message-read",
        "event:user-typing",
        "event:new-chat",
        "event:chat-deleted",
        "event:user-status",
        "request:join-chat",
        "ack:join-chat",
        "request:leave-chat",
        "ack:leave-chat",
    ]


def test_clients_send_what_the_gateway_receives_and_answers(default: Any) -> None:
    sent = default["operations"]["send:new-message@socketio:/chats"]
    asked = default["operations"]["receive:join-chat@socketio:/chats"]

    assert sent["action"] == "send"
    assert asked["action"] == "receive"
    (ack,) = asked["reply"]["messages"]
    payload = target(default, ack["$ref"])["payload"]
    assert is_valid(default, payload, {"success": True, "data": {"chatId": "c"}})
    assert is_valid(
        default, payload, {"success": False, "error": {"code": "forbidden", "message": "No."}}
    )
    assert not is_valid(default, payload, {"success": True})


def test_the_ack_of_a_backend_is_whatever_it_answers(orders: Any) -> None:
    messages = orders["channels"]["socketio:/orders"]["messages"]

    assert messages["ack:place-order"]["payload"] == {}
    assert is_valid(orders, messages["ack:report"]["payload"], {"success": True})


def test_a_request_on_a_channel_is_what_its_backend_gets(orders: Any) -> None:
    (message,) = orders["channels"]["redis:order:reported"]["messages"].values()
    request = BackendRequest(
        event="report",
        data=msgspec.Raw(b'{"lat": 1}'),
        userId=UserId("u"),
        sid="s",
        namespace="/orders",
        address="::1",
    )
    written = json.loads(encode(request))

    assert is_valid(orders, message["payload"], written)
    assert not is_valid(orders, message["payload"], {**written, "data": {"lat": "north"}})


def test_a_channel_with_braces_has_no_parameters(orders: Any) -> None:
    channel = orders["channels"]["redis:!7b!braces!7d!"]

    assert (channel["address"], channel["title"]) == (None, "{braces}")


def test_the_responses_of_the_tcp_port_are_those_of_its_types(default: Any) -> None:
    messages = default["channels"]["tcp:isUserOnline"]["messages"]
    response = messages["response:isUserOnline"]["payload"]
    request = messages["request:isUserOnline"]["payload"]

    assert is_valid(default, request, {"userId": 7})
    assert not is_valid(default, request, {"userId": []})
    assert is_valid(default, response, {"success": True, "data": {"userId": 7, "online": True}})
    assert not is_valid(default, response, {"success": True, "data": {"accepted": True}})
