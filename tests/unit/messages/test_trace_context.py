"""Trace context in JSON messages: what is one, where it is found, and how it is put there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.messages.trace_context import TraceContext, parse, parse_fields, put, read

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONTEXT = TraceContext(PARENT, "vendor=a:1,other=b")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), values)


@pytest.mark.parametrize(
    ("flags", "is_sampled"),
    [
        *(("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)),
        *(("00-later", False), ("01-later", True)),
    ],
)
def test_the_lowest_flag_says_whether_the_trace_is_recorded(flags: str, is_sampled: bool) -> None:
    context = parse(PARENT[:-2] + flags)
    assert context is not None
    assert context.is_sampled is is_sampled


@pytest.mark.parametrize(
    "parent",
    [
        None,
        1,
        "",
        "x",
        "ff" + PARENT[2:],
        f"00-{'0' * 32}{PARENT[35:]}",
        f"{PARENT[:36]}{'0' * 16}-01",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "0",
        PARENT + "\n",
        PARENT + '-"',
        [],
    ],
)
def test_what_is_no_context_is_none(parent: object) -> None:
    assert parse(parent) is None
    if isinstance(parent, str):
        assert parse_fields(parent.encode(), None) is None


def test_a_later_version_may_say_more() -> None:
    later = f"01{PARENT[2:]}-what-comes-next"
    assert parse(later) == TraceContext(later)


@pytest.mark.parametrize("state", [None, 7, "", 'a="b"', "a=\\", "a=\n", "a=é", "a" * 513])
def test_a_state_that_cannot_be_used_is_left_out(state: object) -> None:
    assert parse(PARENT, state) == TraceContext(PARENT)


def test_fields_are_read_as_texts() -> None:
    assert parse_fields(PARENT.encode(), b"a=1") == TraceContext(PARENT, "a=1")
    assert parse_fields(b"\xff", b"\xff") is None
    assert parse_fields(None, b"a=1") is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"text":"\\"traceparent\\":1"}',
        b'{"traceparent":1}',
        b'{"traceparent":null}',
        b'{"a":{"traceparent":"%b"}}' % PARENT.encode(),
    ],
)
def test_a_message_without_one_at_its_top_has_none(message: bytes) -> None:
    assert read(message) is None


def test_half_of_a_surrogate_pair_elsewhere_hides_none() -> None:
    carrier = {"text": "cut \ud83d", "traceparent": PARENT, "tracestate": "a=1"}
    assert read(json.dumps(carrier).encode()) == TraceContext(PARENT, "a=1")


@given(objects)
def test_what_is_put_is_read_and_the_rest_is_as_it_was(message: dict[str, Any]) -> None:
    text = json.dumps(message).encode()
    with_context = put(text, CONTEXT)
    assert read(with_context) == CONTEXT
    rest = {k: v for k, v in message.items() if k not in ("traceparent", "tracestate")}
    assert json.loads(with_context) == {
        **rest,
        "traceparent": CONTEXT.parent,
        "tracestate": CONTEXT.state,
    }


def test_values_stay_as_they_were_written() -> None:
    text = b' {"id": 12345678901234567890, "x":1.50, "cut":"\\ud83d"\n} '
    assert put(text, TraceContext(PARENT)) == (
        b'{"id": 12345678901234567890, "x":1.50, "cut":"\\ud83d","traceparent":"%b"}'
        % PARENT.encode()
    )


def test_a_context_takes_the_place_of_another_and_of_no_text() -> None:
    old = {"traceparent": "old", "tracestate": "old", "text": '"traceparent"', "n": [1, None]}
    message = put(json.dumps(old).encode(), TraceContext(PARENT))
    pairs = json.loads(message, object_pairs_hook=list)
    assert pairs == [("text", '"traceparent"'), ("n", [1, None]), ("traceparent", PARENT)]


@given(st.binary(max_size=20) | st.sampled_from([b"[]", b"{", b"}", b"null", b'"{}"']))
def test_what_is_no_object_is_left_alone(message: bytes) -> None:
    body = message.strip()
    if not (body.startswith(b"{") and body.endswith(b"}")):
        assert put(message, CONTEXT) == message


def test_a_broken_object_stays_broken() -> None:
    for broken in (b'{"traceparent"}', b"{oops}", b'{"a":1,}'):
        assert read(put(broken, CONTEXT)) is None
