"""Acks leave as they came; what refuses is read; what is neither is no answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.backends.answers import (
    REFUSED,
    BackendFailed,
    OwnRefusal,
    read_ack,
    read_refusal,
)
from constellation_ws.messages.admission import Refusal


@pytest.mark.parametrize(
    "body",
    [
        b"9007199254740993",
        b"1e999",
        b' {"a" : 1.10,\n"b":[]} ',
        rb'"\ud83d"',
        b"null",
        '"Привет 👋"'.encode(),
        b"[" * 500 + b"]" * 500,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_an_ack_is_untouched(body: bytes) -> None:
    assert bytes(read_ack(body)) == body


def test_a_failure_speaks_against_the_backend_and_is_an_event_of_its_own_unless_told() -> None:
    alone, event = BackendFailed("lost"), object()
    assert alone.is_down
    assert alone.event is alone
    assert BackendFailed("lost", event=event).event is event


def test_nothing_is_null() -> None:
    assert bytes(read_ack(b"")) == b"null"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b" ",
        b'{"a":1',
        b"1 2",
        b"NaN",
        b'"\xff"',
        b'"a\nb"',
        b"'a'",
        b"01",
        b"\xef\xbb\xbf1",
        b'"\\x"',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_no_client_could_parse_is_no_answer_but_the_backend_is_not_down(body: bytes) -> None:
    with pytest.raises(BackendFailed, match="not JSON") as caught:
        read_ack(body)
    assert not caught.value.is_down


@given(
    st.binary(max_size=60)
    | st.text('{}[]",:\\u0dt1e.-\x00\n\ud83d', max_size=40).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_only_json_is_ever_an_ack(body: bytes) -> None:
    try:
        ack = read_ack(body)
    except BackendFailed:
        return
    json.loads(bytes(ack).decode())


OUT = "Out of stock 👋"


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ({"code": "out_of_stock", "message": OUT}, "out_of_stock", OUT),
        ({"error": {"code": "out_of_stock", "message": OUT}}, "out_of_stock", OUT),
        ({"success": False, "error": {"code": "x", "message": OUT}}, "x", OUT),
        # RpcException("..."), HttpException, a text alone
        ({"status": "error", "message": OUT}, "backend_refused", OUT),
        ({"statusCode": 404, "message": OUT, "error": "Not Found"}, "backend_refused", OUT),
        (OUT, "backend_refused", OUT),
        ({"code": 11000, "message": OUT}, "backend_refused", OUT),
        ({"code": "", "message": OUT}, "backend_refused", OUT),
        ({"error": {"code": "\ud83d", "message": OUT}}, "backend_refused", OUT),
    ],
)
def test_a_refusal_is_in_the_backends_own_words(said: object, code: str, message: str) -> None:
    refusal = read_refusal(json.dumps(said).encode())
    assert (refusal.code, refusal.message) == (code, message)
    assert isinstance(refusal, OwnRefusal) is (code != "backend_refused")
    assert refusal.acknowledgement() == {
        "success": False,
        "error": {"code": code, "message": message},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'""',
        b'{"code":"x"}',
        b'{"code":"x","message":["a","b"]}',
        b'{"error":{"code":"x"},"message":"of the outside"}',
        rb'{"code":"x","message":"\ud83d"}',
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_refusal_that_does_not_say_why_has_ours(body: bytes) -> None:
    assert read_refusal(body) == REFUSED


@given(st.binary(max_size=200))
def test_any_bytes_are_a_refusal_that_can_be_sent(body: bytes) -> None:
    refusal = read_refusal(body)
    assert isinstance(refusal, Refusal)
    json.dumps(refusal.acknowledgement(), ensure_ascii=False).encode()
