"""What a backend gets: the client's words in one place, and nothing of them elsewhere."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from constellation_ws.backends.request import BackendRequest, chosen_claims, encode
from constellation_ws.messages.events import UserId

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST = BackendRequest(
    event="place-order",
    data=msgspec.Raw(b'{"items":[1]}'),
    userId=UserId("u1"),
    claims=msgspec.Raw(b'{"tenant":"t"}'),
    sid="s1",
    namespace="/orders",
    rooms=["order:1"],
    address="192.0.2.1",
    traceparent=TRACEPARENT,
)


def test_the_keys_are_in_the_order_of_the_contract() -> None:
    assert encode(REQUEST).decode() == (
        '{"event":"place-order","data":{"items":[1]},"userId":"u1","claims":{"tenant":"t"},'
        '"sid":"s1","namespace":"/orders","rooms":["order:1"],"address":"192.0.2.1",'
        f'"traceparent":"{TRACEPARENT}"}}'
    )


def test_what_there_is_not_is_left_out() -> None:
    bare = replace(REQUEST, userId=UNSET, claims=UNSET, rooms=UNSET, traceparent=UNSET)
    assert list(json.loads(encode(bare))) == ["event", "data", "sid", "namespace", "address"]


def test_no_rooms_and_no_claims_are_sent_as_such() -> None:
    sent = json.loads(encode(replace(REQUEST, claims=chosen_claims({}, ["tenant"]), rooms=[])))
    assert (sent["claims"], sent["rooms"]) == ({}, [])


@pytest.mark.parametrize(
    "text",
    [
        b"9007199254740993",
        b"1.10",
        b'{"a" : 1e2, "a":2}',
        rb'"\ud83d"',
        b"null",
        '"Привет 👋"'.encode(),
        b'{"userId":"eve","event":"refund","__proto__":{}}',
    ],
)
def test_the_clients_argument_is_untouched(text: bytes) -> None:
    sent = encode(replace(REQUEST, data=msgspec.Raw(text)))
    assert sent.startswith(b'{"event":"place-order","data":%b,"userId":"u1"' % text)


@pytest.mark.parametrize("value", [1 << 80, "\ud83d", [{"deep": -(1 << 70)}], 1.5, None])
def test_claims_may_be_whatever_a_token_has(value: object) -> None:
    claims = chosen_claims({"c": value, "other": 1}, ["c", "absent"])
    assert json.loads(encode(replace(REQUEST, claims=claims)))["claims"] == {"c": value}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=8,
)


@given(JSON_VALUES, st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text()))
def test_whatever_a_client_sends_the_gateways_words_are_its_own(
    data: Any, user: str, rooms: list[str]
) -> None:
    raw = msgspec.Raw(json.dumps(data).encode())
    sent = json.loads(encode(replace(REQUEST, data=raw, userId=UserId(user), rooms=rooms)))
    assert sent.pop("data") == data
    assert sent == {
        "event": "place-order",
        "userId": user,
        "claims": {"tenant": "t"},
        "sid": "s1",
        "namespace": "/orders",
        "rooms": rooms,
        "address": "192.0.2.1",
        "traceparent": TRACEPARENT,
    }
