"""A yes, a no or no answer: nothing but a clear yes is one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.access.answers import ApiAnswer, NoAnswer, read_participants, read_verdict
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.framing import Reply

BOB, CHAT = UserId("bob"), ChatId("c")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def details(participants: object, **more: object) -> dict[str, Any]:
    return {"success": True, "data": {"metadata": {"participants": participants}, **more}}


def found(value: object, user: str = BOB) -> bool:
    return read_participants(UserId(user), Reply("1", json.dumps(value).encode(), None)).allowed


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b'{"allowed": true}', True),
        (b'{"allowed": false}', False),
        (b' {"reason": {"a": [1]}, "allowed": true} ', True),
    ],
)
def test_an_http_answer_says_yes_or_no(body: bytes, allowed: bool) -> None:
    assert read_verdict(CHAT, 200, body) == ApiAnswer(allowed)


@pytest.mark.parametrize("status", [403, 404])
def test_some_http_statuses_are_a_no_whatever_they_carry(status: int) -> None:
    assert read_verdict(CHAT, status, b'{"allowed": true}') == ApiAnswer(False)


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302, 400, 401, 429, 500, 502, 503])
def test_all_other_http_statuses_are_no_answer(status: int) -> None:
    with pytest.raises(NoAnswer, match=str(status)):
        read_verdict(CHAT, status, b'{"allowed": true}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"true",
        b"{}",
        b"[]",
        b'{"allowed": 1}',
        b'{"allowed": "true"}',
        b'{"allowed": null}',
        b'{"Allowed": true}',
        b'{"allowed": true',
        b'{"allowed": true} x',
        b"\xff\xfe",
        b'{"x": "\xff", "allowed": tru}',
        b'{"\xff": 1, "allowed": true}',
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b"<html>",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_verdict_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_verdict(CHAT, 200, body)


@given(st.binary())
def test_no_bytes_are_taken_for_a_yes_by_chance_or_raise_anything_else(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_verdict(CHAT, 200, body)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"allowed": true, "chatIds": ["c", 7]}', ApiAnswer(True, chats=frozenset(["c", "7"]))),
        (b'{"allowed": true, "chatIds": []}', ApiAnswer(True, chats=frozenset(["c"]))),
        (b'{"allowed": false, "chatIds": ["d"]}', ApiAnswer(False, chats=frozenset(["d"]))),
        (b'{"allowed": false, "chatIds": []}', ApiAnswer(False, chats=frozenset())),
        (b'{"allowed": true, "chatIds": null}', ApiAnswer(True)),
    ],
)
def test_an_http_answer_may_name_further_chats_of_the_user(body: bytes, answer: ApiAnswer) -> None:
    assert read_verdict(CHAT, 200, body) == answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"allowed": false, "chatIds": ["c"]}',
        b'{"allowed": true, "chatIds": "c"}',
        b'{"allowed": true, "chatIds": [true]}',
        b'{"allowed": true, "chatIds": [["c"]]}',
        b'{"allowed": true, "chatIds": {"c": true}}',
        b'{"chatIds": ["c"]}',
    ],
)
def test_chats_that_cannot_be_read_or_contradict_the_verdict_are_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_verdict(CHAT, 200, body)


def test_a_nest_answer_names_all_users_of_the_chat() -> None:
    reply = Reply("1", json.dumps(details(["eve", 7, {"userId": "bob"}, {}])).encode(), None)
    users = frozenset(["eve", "7", "bob"])
    assert read_participants(BOB, reply) == ApiAnswer(True, users=users)
    assert read_participants(UserId("mallory"), reply) == ApiAnswer(False, users=users)
    no_chat = Reply("1", b'{"success": false}', None)
    assert read_participants(BOB, no_chat) == ApiAnswer(False, users=frozenset())


@pytest.mark.parametrize(
    ("participant", "user"),
    [
        ("bob", "bob"),
        (7, "7"),
        ("7", "7"),
        (2**64 + 1, str(2**64 + 1)),
        ({"id": "bob"}, "bob"),
        ({"userId": "bob"}, "bob"),
        ({"userId": 7, "name": "Bob", "tags": [1]}, "7"),
        ({"id": 1, "userId": "bob"}, "bob"),
        ("__proto__", "__proto__"),
    ],
)
def test_participants_are_ids_or_objects_with_one(participant: object, user: str) -> None:
    assert found(details([0, "other", participant], title="Привет"), user)
    assert not found(details(["other"]), user)


@pytest.mark.parametrize(
    ("participants", "user"),
    [
        ([], "bob"),
        (["bobby", "Bob", " bob", "bob "], "bob"),
        ([{"id": "bob", "userId": "eve"}], "bob"),  # `id` is the membership's
        ([{"name": "bob"}], "bob"),
        ([{"id": None}], "None"),
        ([{"id": None}, {}], ""),
        ([17, 70], "7"),
        (["7 "], "7"),
        (["constructor"], "__proto__"),
    ],
)
def test_who_is_not_among_them_is_none(participants: list[object], user: str) -> None:
    assert found(details(participants), user) is False


def test_an_api_that_finds_no_such_chat_says_no() -> None:
    assert found({"success": False, "message": "no such chat"}) is False
    assert found({"success": False, "data": details(["bob"])["data"]}) is False


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "bob",
        {"success": True},
        {"success": True, "data": None},
        {"success": True, "data": {}},
        {"success": "true", "data": details(["bob"])["data"]},
        {"data": details(["bob"])["data"]},
        details(None),
        details("bob"),
        details({"0": "bob", "length": 1}),
        details([["bob"]]),
        details([True, "bob"]),
        details([1.5, "bob"]),
        details([{"id": ["bob"]}, "bob"]),
        {"success": True, "data": [details(["bob"])]},
    ],
)
def test_an_answer_without_participants_is_no_answer(value: object) -> None:
    with pytest.raises(NoAnswer):
        found(value)


def test_an_error_of_the_api_is_no_answer() -> None:
    with pytest.raises(NoAnswer):
        read_participants(BOB, Reply("1", json.dumps(details(["bob"])).encode(), b'"boom"'))


@given(JSON)
def test_no_json_is_taken_for_a_yes_by_chance_or_raises_anything_else(value: object) -> None:
    for answer in (value, {"success": True, "data": value}, details(value)):
        with suppress(NoAnswer):
            assert not found(answer, "\x00never\x00")
