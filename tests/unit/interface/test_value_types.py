"""Which JSON values fit which type of a row."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from constellation_ws.interface import value_types
from constellation_ws.interface.value_types import Types

SAMPLES: dict[str, list[str]] = {
    "string": ['"a"', '""', r'"\ud83d"', '"я"'],
    "number": ["1.5", "-0.5", "1e400"],
    "boolean": ["true", "false"],
    "list": ["[]", "[null]"],
    "object": ["{}", '{"__proto__":1}'],
}
IDS = ['"a"', "0", "-7", "1.0", "1e0", "18446744073709551616"]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(), one, max_size=2),
    max_leaves=4,
)


def fits(name: str, text: str) -> bool:
    return Types({"key": name}).misfit([msgspec.Raw(text.encode())]) is None


def test_each_type_has_its_values_and_no_others() -> None:
    for name in SAMPLES:
        for other, texts in SAMPLES.items():
            assert [fits(name, text) for text in texts] == [name == other] * len(texts)


@pytest.mark.parametrize("text", IDS)
def test_an_id_is_what_names_a_room(text: str) -> None:
    assert fits("id", text)


@pytest.mark.parametrize("text", ['""', r'"\ud83d"', "1.5", "true", "[1]", "{}", "1e400"])
def test_nothing_else_is_an_id(text: str) -> None:
    assert not fits("id", text)


@pytest.mark.parametrize("name", value_types.NAMES)
def test_null_and_absence_fit_only_a_type_that_ends_with_a_question_mark(name: str) -> None:
    for value in (msgspec.Raw(b"null"), UNSET):
        assert "is absent or null" in str(Types({"key": name}).misfit([value]))
        assert Types({"key": f"{name}?"}).misfit([value]) is None


def test_a_misfit_names_the_key_and_the_type_and_never_the_value() -> None:
    types = Types({"lat": "number", "note": "string?"})
    assert types.keys == ("lat", "note")
    secret = msgspec.Raw(b'["hunter2"]')
    assert types.misfit([secret, UNSET]) == "lat must be a number"
    assert types.misfit([msgspec.Raw(b"1"), secret]) == "note must be a string or null"
    assert types.misfit([UNSET, UNSET]) == "lat must be a number, and is absent or null"
    assert types.misfit([msgspec.Raw(b"1"), msgspec.Raw(b"null")]) is None


@given(values)
def test_every_value_but_null_has_exactly_one_type_beside_id(value: Any) -> None:
    raw = json.dumps(value)
    found = [name for name in value_types.NAMES if name != "id" and fits(name, raw)]
    assert len(found) == (value is not None)


@pytest.mark.parametrize("name", ["", "?", "integer", "String", "string??", "null", "__proto__"])
def test_other_names_are_no_types(name: str) -> None:
    assert not value_types.is_known(name)
