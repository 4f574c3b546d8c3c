"""What a client's request names: rooms, ids, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.interface import table
from constellation_ws.interface.requests import RequestReader, Wanted
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import Refusal, read_id

JOIN, LEAVE = (RequestReader(row, 128) for row in table.load().requests)
FOLLOW = RequestReader(
    RequestRow(
        "follow",
        "/orders",
        joins=("order:{orderId}", "shop:{shopId}"),
        types={"orderId": "number", "note": "string?"},
    ),
    8,
)
PLACE = RequestReader(
    RequestRow("place", "/", to="log", stream="s", in_room="shop:{shopId}", bare="shopId"), 128
)
ANY = RequestReader(RequestRow("any", "/", to="log", stream="s"), 128)
LIST = RequestReader(RequestRow("list", "/", to="log", stream="s", types={"items": "list"}), 128)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(["chatId", "x"]), one),
    max_leaves=4,
)


def wanted(reader: RequestReader, data: str) -> Wanted:
    found = reader.read(data.encode())
    assert isinstance(found, Wanted)
    return found


def refusal(reader: RequestReader, data: str) -> Refusal:
    found = reader.read(data.encode())
    assert isinstance(found, Refusal)
    return found


@given(values)
def test_the_requests_of_the_contract_are_read_as_ever(value: Any) -> None:
    text = json.dumps(value)
    chat = read_id(value.get("chatId") if isinstance(value, dict) else value, 128)
    for reader in (JOIN, LEAVE):
        found = reader.read(text.encode())
        if chat is None:
            assert isinstance(found, Refusal)
            assert found.code == "invalid_chat"
        else:
            assert isinstance(found, Wanted)
            assert found.rooms == [f"chat:{chat}"]


def test_only_a_join_with_access_names_chats_to_ask_about() -> None:
    assert wanted(JOIN, '{"chatId": 7}').chats == ["7"]
    assert wanted(LEAVE, '{"chatId": 7}').chats == []


def test_access_is_asked_for_the_chats_among_the_rooms() -> None:
    row = RequestRow("x", "/", joins=("area:{a}", "chat:{c}", "order:{o}"), access="chat")
    reader = RequestReader(row, 8)
    assert wanted(reader, '{"a": 1, "c": 2, "o": 3}').chats == ["2"]
    for data in ('{"c": 2, "o": 3}', '{"a": 1, "c": 2}'):
        assert refusal(reader, data).code == "invalid_request"
    assert refusal(reader, '{"a": 1, "o": 3}').code == "invalid_chat"


def test_ids_are_given_back_as_they_were_written() -> None:
    assert bytes(wanted(JOIN, '{"chatId": 7.0}').given["chatId"]) == b"7.0"
    assert bytes(wanted(JOIN, '"c-1"').given["chatId"]) == b'"c-1"'


def test_every_template_names_a_room() -> None:
    found = wanted(FOLLOW, '{"shopId": "s", "orderId": 18446744, "more": {}}')
    assert found.rooms == ["order:18446744", "shop:s"]
    assert found.in_room is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"shopId": "s"}', "orderId must be a number, and is absent or null."),
        ('{"shopId": "s", "orderId": "7"}', "orderId must be a number."),
        ('{"shopId": "s", "orderId": 7, "note": []}', "note must be a string or null."),
        ('{"orderId": 7}', "Send { shopId }: a string of 1 to 8 characters or a whole number."),
        (
            '{"shopId": "s", "orderId": 7.5}',
            "Send { orderId }: a string of 1 to 8 characters or a whole number.",
        ),
        (
            '{"shopId": "s", "orderId": 123456789}',
            "Send { orderId }: a string of 1 to 8 characters or a whole number.",
        ),
        (
            r'{"shopId": "a\u0000", "orderId": 7}',
            "Send { shopId }: a string of 1 to 8 characters or a whole number.",
        ),
        ("7", "Send { orderId }: a string of 1 to 8 characters or a whole number."),
        ("", "Send { orderId }: a string of 1 to 8 characters or a whole number."),
    ],
)
def test_a_request_that_does_not_fit_is_refused(data: str, message: str) -> None:
    assert refusal(FOLLOW, data) == Refusal("invalid_request", message)


def test_the_room_that_a_client_must_be_in_is_named() -> None:
    for data in ('{"shopId": "s"}', '"s"'):
        found = wanted(PLACE, data)
        assert (found.in_room, found.rooms) == ("shop:s", [])


@pytest.mark.parametrize("data", ["", "null", "7", "[1]", '"x"', "{}"])
def test_what_nothing_is_said_of_is_not_read(data: str) -> None:
    assert wanted(ANY, data) == Wanted([], [], None, {})


def test_types_require_an_object() -> None:
    assert wanted(LIST, '{"items": [1]}').rooms == []
    assert refusal(LIST, "[1]").message == "Send an object with items."


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_names_of_javascript_prototypes_are_keys_like_others(name: str) -> None:
    row = RequestRow("x", "/", joins=(f"a:{{{name}}}",), types={name: "id"})
    reader = RequestReader(row, 128)
    assert wanted(reader, f'{{"{name}": "7"}}').rooms == ["a:7"]
    assert isinstance(reader.read(b"{}"), Refusal)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ('{"shopId":"a","shopId":"b"}', "shopId"),
        ('{"shopId":"a","shop\\u0049d":"a"}', "shopId"),
        ('{"shopId":"a","shopid":"b"}', "shopId"),
        ('{"\u017fhopId":"b","shopId":"a"}', "shopId"),
        ('{"shopId":"a","x":"\\ud83d","shopId":"a"}', "shopId"),
    ],
)
def test_what_a_backend_could_read_from_another_place_is_refused(data: str, key: str) -> None:
    found = refusal(PLACE, data)
    assert (found.code, found.message) == ("invalid_request", f"Send {key} once, in this spelling.")


@given(st.lists(st.sampled_from(["shopId", "shopid", "SHOPID", "x"]), max_size=3))
def test_a_key_is_read_where_it_is_there_once_in_one_spelling(keys: list[str]) -> None:
    found = PLACE.read(("{" + ",".join(f'"{key}":"{key}"' for key in keys) + "}").encode())
    is_clear = [key for key in keys if key != "x"] == ["shopId"]
    assert isinstance(found, Wanted) is is_clear


def test_other_keys_may_occur_as_they_like() -> None:
    for data in (
        '{"x":1,"X":2,"x":3,"shopId":"a"}',
        '{"shopId":"a","x":{"shopId":"b","shopID":1}}',
        '{"x":%s,"shopId":"a"}' % ("9" * 5_000),
        '"a"',
    ):
        assert wanted(PLACE, data).in_room == "shop:a"
    assert isinstance(ANY.read(b'{"x":1,"x":2}'), Wanted)
    assert wanted(JOIN, '{"chatId":"a","chatId":"b"}').rooms == ["chat:b"], "as ever"


def test_a_request_is_refused_however_deep_it_is_nested() -> None:
    """One decoder reaches the interpreter's limit earlier than the other."""
    for depth in range(800, 1_100):
        nested = "[" * depth + "]" * depth
        found = refusal(PLACE, f'{{"shopId":"a","shopid":"b","x":{nested}}}')
        assert found.code == "invalid_request"
