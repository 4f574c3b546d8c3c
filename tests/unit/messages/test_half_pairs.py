"""Requests with half of a surrogate pair: what is carried, what is replaced, what is refused."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.messages.half_pairs import HalfPair, read_request, read_value, repaired

HALF = '"cut \\ud83d"'


class Sent(msgspec.Struct, frozen=True):
    room: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""


class Moved(msgspec.Struct, frozen=True):
    room: str


def test_data_is_as_it_was_written() -> None:
    assert read_request(f'{{"room":"r","data": {{"t" : {HALF}}} }}', Sent) == Sent(
        "r", msgspec.Raw(f'{{"t" : {HALF}}}'.encode())
    )


def test_a_reason_is_replaced_and_what_nobody_reads_does_not_matter() -> None:
    assert read_request(f'{{"room":"r","reason":{HALF}}}', Sent).reason == "cut \ufffd"
    for key in ('"x"', '"data"', HALF):
        assert read_request(f'{{"room":"r",{key}:{HALF}}}', Moved) == Moved("r")


@pytest.mark.parametrize("text", [f'{{"room":{HALF}}}', r'{"data":1,"room":"\ude00\ud83d"}'])
def test_a_name_is_refused(text: str) -> None:
    with pytest.raises(HalfPair, match="`room` holds half of a surrogate pair"):
        read_request(text, Sent)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"room":"\\ud83d}', '{"room":"\\x"}', "{} x"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever module finds it
        read_request(text, Sent)


def test_another_shape_is_refused_as_such() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_request(f'{{"room":1,"data":{HALF}}}', Sent)


@pytest.mark.parametrize("text", ["1", '{"a": 1.0}', HALF, f'[{{"t": {HALF}}}]', "1e400"])
def test_any_json_value_is_read(text: str) -> None:
    assert bytes(read_value(f" {text} ".encode())) == text.encode()


@pytest.mark.parametrize("text", [b"", b"{", b'"\\ud83d', b'"\\ud83d" 1', b'["\\ud83d",\xff]'])
def test_what_is_no_json_value_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_value(text)


@given(st.text(st.characters() | st.sampled_from('\ud83d\ude00\\u"')))
def test_a_repaired_text_is_what_an_encoder_of_utf8_makes_of_it(text: str) -> None:
    read = json.loads(repaired(json.dumps(text).encode()))
    assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
