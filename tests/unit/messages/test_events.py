"""Bytes -> events: what is read, what is refused, and that values keep their publisher's text."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from constellation_ws.messages.events import (
    MAX_ATTACHMENTS,
    RESERVED_EVENTS,
    UNSENDABLE_EVENTS,
    ChatId,
    Decoder,
    Fields,
    MalformedEvent,
    UserId,
    chat_room,
    fields_of,
    slice_array,
    slice_object,
    user_room,
)

KEYS = ("chatId", "text", "ключ")
DEEP = b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
REASONS = {"not UTF-8", "nested too deeply", "not a JSON object", "not JSON"}
HALF_EMOJI = r'"\ud83d"'

# JSON as texts and not as values: the text is what must not change.
PLAIN_VALUES = (
    *("null", "true", "false", "0", "-0", "7.50", "1e400", "-1.5E-7", "12345678901234567890.10"),
    *("18446744073709551616", "-9223372036854775809", '""', r'"\u0000\"\\\/\n"', '"Привет 👋"'),
    *(r'"\ud83d\udc4b"', "[]", "{}", '[ 1,\t"]"\n]', '{ "a": [{"b":"}"}] , "a":1}', "[[[[]]]]"),
)
HALF_VALUES = (HALF_EMOJI, r'"x\udc4b"', r'[{"\ud83d\u0041":1}]')
spaces = st.sampled_from(["", " ", "\r\n\t"])
characters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='"\\')
strings = st.text(characters, max_size=5).map(lambda text: f'"{text}"')
keys = st.sampled_from([json.dumps(key, ensure_ascii=False) for key in KEYS]) | strings
plain_values = st.sampled_from(PLAIN_VALUES) | strings
values = st.sampled_from(PLAIN_VALUES + HALF_VALUES) | strings


def members(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Key texts with value texts; a key may come twice."""
    return st.lists(st.tuples(keys, texts), max_size=4)


def object_text(pairs: list[tuple[str, str]], space: str = "") -> str:
    body = f"{space},{space}".join(f"{key}{space}:{space}{value}" for key, value in pairs)
    return f"{{{space}{body}{space}}}"


def parse(text: str | bytes) -> Any:
    """Python's own reader without its extensions to JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def texts_of(fields: Fields) -> dict[str, str]:
    """The present keys with the texts of their values."""
    names = zip(fields.__struct_encode_fields__, fields.__struct_fields__, strict=True)
    slices = {key: getattr(fields, name) for key, name in names}
    return {key: bytes(raw).decode() for key, raw in slices.items() if isinstance(raw, msgspec.Raw)}


def decoder(*names: str) -> Decoder:
    return Decoder(fields_of(names or KEYS))


def test_rooms_carry_the_names_of_the_contract() -> None:
    assert user_room(UserId("u1")) == "user:u1"
    assert chat_room(ChatId("42")) == "chat:42"


def test_names_that_a_client_takes_for_its_own_are_reserved() -> None:
    # As socket.io-client has them (RESERVED_EVENTS), without those of Node's EventEmitter.
    assert {"connect", "connect_error", "disconnect", "disconnecting"} == RESERVED_EVENTS
    assert {*RESERVED_EVENTS, "newListener", "removeListener", "__disconnect_final"} == (
        UNSENDABLE_EVENTS
    )


def test_a_packet_has_no_more_attachments_than_a_client_accepts() -> None:
    # As socket.io-parser has it (MAX_ATTACHMENTS).
    assert MAX_ATTACHMENTS == 10


def test_listed_keys_are_kept_as_they_were_written_and_others_are_not() -> None:
    raw = (
        '{ "text": "a\\u0301 👋", "secret": 1, "chatId": 1234567890123456789.50 , "x":[]}'.encode()
    )
    assert texts_of(decoder().decode(raw)) == {
        "chatId": "1234567890123456789.50",
        "text": '"a\\u0301 👋"',
    }


def test_fields_encode_in_the_order_of_their_keys_without_the_absent_ones() -> None:
    fields = decoder("b", "a", "c").decode(b'{"a": 1.0, "c": null, "b": {"x": 1e2}}')
    assert msgspec.json.encode(fields) == b'{"b":{"x": 1e2},"a":1.0,"c":null}'
    assert msgspec.json.encode(decoder("b", "a").decode(b"{}")) == b"{}"


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert texts_of(decoder().decode(b'{"text":1,"text":2}')) == {"text": "2"}


@pytest.mark.parametrize("raw", [b"[]", b"null", b"7", b'"{}"', b"true"])
def test_json_that_is_no_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedEvent, match=r"^not a JSON object$"):
        decoder().decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{oops",
        b'{"text":1',
        b'{"text":1}}',
        b'{"text":1,}',
        b'{"text":NaN}',
        b'{"text":-Infinity}',
        b'{"text":01}',
        b'{"text":"\n"}',
        b'{"text":"\\x"}',
        b"{'text':1}",
        b"{1:1}",
        b'{"text":1}\x00',
        b'\xef\xbb\xbf{"text":1}',
        # Not listed, and still part of one broken message.
        b'{"other":tru,"text":1}',
        b'{"other":"\\ud83d","text":1,}',
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedEvent, match=r"^not JSON$"):
        decoder().decode(raw)


@pytest.mark.parametrize("raw", [b'{"text":"\xff"}', b'{"\xc3":1}', b'{"x":"\xed\xa0\xbd"}'])
def test_text_that_is_not_utf_8_is_malformed_wherever_it_stands(raw: bytes) -> None:
    with pytest.raises(MalformedEvent, match=r"^not UTF-8$"):
        decoder().decode(raw)


@pytest.mark.parametrize("raw", [DEEP, DEEP.replace(b'{"', b'{"x":"\\ud83d","')])
def test_a_bottomless_nesting_is_malformed_and_no_crash(raw: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decoder().decode(raw)


def test_a_text_cut_inside_an_emoji_costs_no_message() -> None:
    raw = rb'{"chatId":"c-1","text":"cut \ud83d","other":"\udc4b"}'
    assert texts_of(decoder().decode(raw)) == {"chatId": '"c-1"', "text": r'"cut \ud83d"'}


@given(members(values), spaces)
def test_slices_are_the_texts_of_the_values(pairs: list[tuple[str, str]], space: str) -> None:
    text = object_text(pairs, space)
    slices = {key: bytes(raw).decode() for key, raw in slice_object(text).items()}
    assert slices == {parse(key): value for key, value in pairs}
    assert {key: parse(value) for key, value in slices.items()} == parse(text)


@given(members(values).map(object_text), st.integers(0), st.sampled_from(['"', "{", "}", ",", ":"]))
@example('{"a":1}', 6, ",")
@example('{"a":1}', 0, ",")
@example('{"a":1}', 7, "}")
def test_a_damaged_object_is_refused_where_python_refuses_it(
    text: str, place: int, damage: str
) -> None:
    place %= len(text) + 1
    for damaged in (text[:place] + damage + text[place:], text[:place] + text[place + 1 :]):
        assert _accepts(slice_object, damaged) == _accepts(_parse_object, damaged), damaged


ARRAYS = [
    *("[]", " [ ] ", "[1]", '["a", null]', '[1,{"a":2},[3],null]\n', r'["\ud83d" , 2.50]'),
]


@pytest.mark.parametrize("text", ARRAYS)
def test_slices_of_an_array_are_the_texts_of_its_values(text: str) -> None:
    slices = [bytes(raw).decode() for raw in slice_array(text)]
    assert [parse(value) for value in slices] == parse(text)
    assert all(value in text for value in slices)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[~", "~1]", "!1]", "{1]", "[1", "[1,]", "[1,] ", "[,1]", "[1 2]", "[1{}]"),
        *("[1!2]", "[1]~", "[1]]", "[1,~", "{}", "1"),
    ],
)
def test_a_damaged_array_is_refused(text: str) -> None:
    assert not _accepts(slice_array, text)


@pytest.mark.parametrize("text", ["{}", " { } ", '{"a":1} ', '\t{"a":1}\n'])
def test_space_around_an_object_is_none_of_it(text: str) -> None:
    assert {key: parse(bytes(raw)) for key, raw in slice_object(text).items()} == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("{~", '{"a":1,~', '{"a"~1}', '{"a"!1}', '~"a":1}', '!"a":1}', '{"a":1!"b":2}'),
        *('{"a":1,} ', '{"a":1~"b":2}', '{"a":1}~', '["a":1}'),
    ],
)
def test_an_object_with_another_sign_is_refused(text: str) -> None:
    assert not _accepts(slice_object, text)


@given(members(plain_values).map(object_text))
def test_the_fast_and_the_lenient_path_read_the_same(text: str) -> None:
    # Half an emoji in a key that is not listed is what the fast path cannot read.
    lenient = text[:-1] + ("," if len(text) > 2 else "") + f'"half":{HALF_EMOJI}}}'
    fast = decoder().decode(text.encode())
    assert texts_of(decoder().decode(lenient.encode())) == texts_of(fast)
    assert texts_of(fast) == {
        key: bytes(raw).decode() for key, raw in slice_object(text).items() if key in KEYS
    }


@given(st.binary(max_size=40) | members(values).map(object_text).map(str.encode), st.data())
def test_any_bytes_give_fields_that_are_json_or_malformed_event(
    raw: bytes, data: st.DataObject
) -> None:
    if raw and data.draw(st.booleans(), "damaged"):
        place = data.draw(st.integers(0, len(raw) - 1), "place")
        raw = raw[:place] + data.draw(st.binary(max_size=2), "damage") + raw[place + 1 :]
    reason: str | None
    try:
        fields = decoder().decode(raw)
    except MalformedEvent as error:
        reason = str(error)
    else:
        reason = None
        expected = {key: value for key, value in parse(raw.decode()).items() if key in KEYS}
        assert {key: parse(text) for key, text in texts_of(fields).items()} == expected
    # A fixed set of sentences: the text of a message is never logged.
    assert reason in {None, *REASONS}


def _parse_object(text: str) -> None:
    if not isinstance(parse(text), dict):
        raise ValueError("not an object")


def _accepts(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True
