"""IDs of log entries: what is one, and that it is read as it is written."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.log.ids import LogId, format_id, parse_id

IDS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(IDS)
def test_an_id_is_read_as_it_is_written(log_id: LogId) -> None:
    assert parse_id(format_id(log_id)) == log_id
    assert parse_id(format_id(log_id).decode()) == log_id


@given(st.text() | st.text(string.digits + "-٣²+ "))
def test_what_is_no_id_is_none_and_nothing_is_raised(text: str) -> None:
    parsed = parse_id(text)
    if parsed is not None:
        head, _, tail = text.partition("-")
        assert head.isascii()
        assert head.isdigit()
        assert parsed == (int(head), int(tail))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "1.5-0",
        "+1-0",
        " 1-0",
        "1-0 ",
        "٣-٣",
        "9" * 50,
        f"{1:021}-{1:020}",
    ],
)
def test_a_few_texts_that_are_no_ids(text: str) -> None:
    assert parse_id(text) is None


def test_an_id_beyond_what_redis_can_hold_is_none() -> None:
    assert parse_id(f"{2**64}-0") is None
    assert parse_id(f"0-{2**64}") is None
    assert parse_id(f"{2**64 + 1}-0") is None
