"""How events are written. Getting them needs a gateway."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.cli.client import Heard
from constellation_ws.cli.listen import printable, to_json, to_line
from constellation_ws.messages.events import UserId

AT = datetime(2025, 6, 1, 12, 30, 59, 123_456, tzinfo=UTC)


def heard(event: str, *arguments: Any) -> Heard:
    return Heard(UserId("bob"), event, arguments, AT, 0.0)


def test_a_line_has_the_time_the_event_and_the_payload() -> None:
    time, event, payload = to_line(heard("new-message", {"text": "Привет 👋"})).split(maxsplit=2)

    assert time == f"{AT.astimezone():%H:%M:%S}"
    assert event == "new-message"
    assert payload == '{"text": "Привет 👋"}'


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), ""),
        ((None,), "null"),
        (({"a": 1}, "two", [3]), '{"a": 1} "two" [3]'),
        ((b"\x00\x01", {"in": [b""]}), '{"base64": "AAE="} {"in": [{"base64": ""}]}'),
    ],
)
def test_every_argument_is_shown_binary_ones_too(arguments: tuple[Any, ...], shown: str) -> None:
    assert to_line(heard("mark", *arguments)).partition("mark")[2].strip() == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("line\nbreak", "line\\nbreak"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("gnp.\u202eexe", "gnp.\\u202eexe"),
        ("half \ud83d", "half \\ud83d"),
        ("👩\u200d👧 ё", "👩\u200d👧 ё"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_fits_a_line(text: str) -> None:
    shown = printable(text)

    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert shown.encode() or not text


@given(
    event=st.text(),
    arguments=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=3,
    ),
)
def test_programs_read_back_what_was_heard(event: str, arguments: list[Any]) -> None:
    line = to_json(heard(event, *arguments))

    assert line.isascii()
    assert json.loads(line) == {
        "at": "2025-06-01T12:30:59.123+00:00",
        "user": "bob",
        "event": event,
        "data": arguments[0] if arguments else None,
        "arguments": arguments,
    }


def test_programs_get_binary_data_as_base64() -> None:
    line = json.loads(to_json(heard("file", {"name": "a"}, b"\xff\x00")))

    assert line["data"] == {"name": "a"}
    assert line["arguments"] == [{"name": "a"}, {"base64": "/wA="}]
