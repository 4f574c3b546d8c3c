"""What is an id: the same at every door, whoever wrote the JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.messages import ids
from constellation_ws.messages.admission import read_id
from constellation_ws.socketio.packets import Json

MAX_CHARS = 400
BEYOND = 2**1024
"""The first whole number that JavaScript reads as Infinity."""

IDS = [
    ('"u1"', "u1"),
    ('"1.0"', "1.0"),
    ('" "', " "),
    (r'"\ud83d\ude00"', "😀"),
    ("7", "7"),
    ("-7", "-7"),
    ("0", "0"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("1.0", "1"),
    ("-1.0", "-1"),
    ("1e0", "1"),
    ("10E-1", "1"),
    ("1e3", "1000"),
    ("9007199254740993", "9007199254740993"),
    ("18446744073709551616", "18446744073709551616"),
    ("1.2345678901234567e+19", "12345678901234567000"),  # as JavaScript prints it
    ("1e21", "1" + 21 * "0"),
    ("9" * 308, "9" * 308),
    (str(BEYOND - 1), str(BEYOND - 1)),
    (str(1 - BEYOND), str(1 - BEYOND)),
]
NO_IDS = [
    '""',
    "1.5",
    "1e-3",
    "1e400",
    "-1E400",
    "1" + 309 * "0",
    str(BEYOND),
    str(-BEYOND),
    str(-2 * BEYOND),
    "9" * 5_000,
    "-" + "9" * 5_000,
    "true",
    "null",
    "{}",
    r'"\ud83d"',
    r'"a\ude00"',
    "[" * 100_000 + "]" * 100_000,
]

numbers = st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)
texts = st.text(max_size=5).map(json.dumps)  # with lone surrogates
values = st.recursive(
    numbers | texts | st.sampled_from(["null", "true"]),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
    max_leaves=6,
)


def read(text: str) -> str | None:
    return ids.read_id(msgspec.Raw(text.encode()))


@pytest.mark.parametrize(("text", "written"), IDS, ids=lambda text: text[:20])
def test_a_string_or_a_number_with_a_whole_value_is_an_id(text: str, written: str) -> None:
    assert read(text) == written
    assert ids.read_ids(msgspec.Raw(text.encode())) == ([written], 0, False)


@pytest.mark.parametrize("text", NO_IDS, ids=lambda text: text[:20])
def test_everything_else_is_no_id(text: str) -> None:
    assert read(text) is None
    found = ids.read_ids(msgspec.Raw(f'["a",{text},2.0]'.encode()))
    assert found == (["a", "2"], 1, True) or text.startswith("[[")
    alone = ids.read_ids(msgspec.Raw(text.encode()))
    assert alone is None or alone.ids == []


@pytest.mark.parametrize("text", ["null", '""'])
def test_no_value_is_not_a_wrong_one(text: str) -> None:
    assert ids.read_ids(msgspec.Raw(text.encode())) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", "7"),
        ('"u"', "u"),
        ("{}", None),
        ("[]", []),
        ("[7, null]", ["7"]),
        ("[7, 8]", ["7", "8"]),
        ("[{}]", None),
    ],
)
def test_the_value_without_what_is_no_id(text: str, value: object) -> None:
    found = ids.read_ids(msgspec.Raw(text.encode()))
    assert found is not None
    assert found.value() == value


@given(values)
def test_a_list_is_read_as_its_elements_are(text: str) -> None:
    found = ids.read_ids(msgspec.Raw(f"[{text},1]".encode()))
    one = read(text)
    assert found == ([one, "1"] if one is not None else ["1"], int(one is None), True)


@given(numbers | texts)
def test_a_publisher_and_a_client_name_the_same_room(text: str) -> None:
    published, asked = read(text), read_id(Json.loads(text), MAX_CHARS)
    if asked is None:
        assert published is None or len(published) > MAX_CHARS or not published.isprintable()
    else:
        assert asked == published


@pytest.mark.parametrize("text", [*(text for text, _ in IDS), *NO_IDS[:-1]], ids=lambda t: t[:20])
def test_a_client_reads_every_json_value_that_javascript_reads(text: str) -> None:
    assert (read_id(Json.loads(text), MAX_CHARS) is None) is (read(text) is None)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_a_number_is_an_id_where_its_double_is_whole(text: str) -> None:
    found = read(text)
    if text.lstrip("-").isdigit():
        assert found == str(int(text))
    else:
        double = float(text)
        assert (found is not None) is double.is_integer()
        assert found is None or float(found) == double


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "1.", "'a'", ""])
def test_what_javascript_does_not_read_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ids.loads(text)


def test_a_value_that_python_alone_makes_is_no_id() -> None:
    values: list[Any] = [float("nan"), float("inf"), b"a", object(), ()]
    assert [ids.id_of(value) for value in values] == [None] * len(values)
