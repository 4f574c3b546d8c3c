"""Values that emitters in Node publish, as a Socket.IO server in Node writes them in JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from constellation_ws.messages.events import MalformedEvent
from constellation_ws.messages.node_values import MAX_DEPTH, Arguments, read_extension

UNDEFINED = read_extension(0, memoryview(b"\x00"))
DATE = datetime(2026, 3, 1, 12, 30, 15, 987_654, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *((value, value) for value in ("a", 7, 1.5, True, None, [], {}, [1, [2]], {"a": {"b": 1}})),
        (UNDEFINED, None),
        ([1, UNDEFINED, 2], [1, None, 2]),
        ({"a": UNDEFINED, "b": None, "c": [UNDEFINED]}, {"b": None, "c": [None]}),
        (DATE, "2026-03-01T12:30:15.987Z"),
        ([DATE.astimezone(timezone(timedelta(hours=3)))], ["2026-03-01T12:30:15.987Z"]),
        (
            {None: 1, True: 2, False: 3, 7: 4, b"x\xff": 5, "s": 6},
            {"null": 1, "true": 2, "false": 3, "7": 4, "x�": 5, "s": 6},
        ),
    ],
)
def test_a_value_is_written_as_javascript_writes_it(value: Any, written: Any) -> None:
    arguments = Arguments()
    assert arguments.write(value) == written
    assert arguments.attachments == []


def test_binary_values_become_placeholders_in_their_order() -> None:
    arguments = Arguments()
    written = arguments.write([b"a", {"x": b"b"}])
    assert written == [{"_placeholder": True, "num": 0}, {"x": {"_placeholder": True, "num": 1}}]
    assert arguments.write(b"c") == {"_placeholder": True, "num": 2}
    assert arguments.attachments == [b"a", b"b", b"c"]


@pytest.mark.parametrize("key", [1.5, (1,), DATE])
def test_a_key_that_no_encoder_writes_is_malformed(key: Any) -> None:
    with pytest.raises(MalformedEvent, match="no name"):
        Arguments().write({key: 1})


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_nesting_is_bounded(wrap: Any) -> None:
    value: Any = 7
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert Arguments().write(value) == value
    with pytest.raises(MalformedEvent, match="too deeply"):
        Arguments().write(wrap(value))


@pytest.mark.parametrize(
    ("code", "content", "value"),
    [
        (0, b"\x01", b"\x01"),
        (0, b"\x00\x00", b"\x00\x00"),
        (0, b"", b""),
        (0, (1_000).to_bytes(8, "big"), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (0, (-1).to_bytes(8, "big", signed=True), datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)),
        (0, bytes(9), bytes(9)),
        (1, b"\x00", [1, b"\x00"]),
        (-1, bytes(8), [-1, bytes(8)]),
    ],
)
def test_what_msgpack_has_no_type_for_is_read_as_notepack_does(
    code: int, content: bytes, value: object
) -> None:
    assert read_extension(code, memoryview(content)) == value
