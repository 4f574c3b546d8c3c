"""docs/log.md says how packed entries are read: what is printed there reads what is written."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import msgspec
import pytest

from constellation_ws.log.packing import pack, unpack
from constellation_ws.log.pubsub_positions import Received
from tests.documentation.pages import blocks

PRINTED = ("docs/log.md", "python")


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The printed function; msgspec reads what the package msgpack reads."""
    msgpack: Any = ModuleType("msgpack")
    msgpack.unpackb = msgspec.msgpack.decode
    monkeypatch.setitem(sys.modules, "msgpack", msgpack)
    (block,) = [one for one in blocks() if (one.page, one.language) == PRINTED]
    names: dict[str, Any] = {}
    exec(block.text, names)
    return names["messages"]


def test_the_printed_reader_reads_packed_entries(messages: Any) -> None:
    received = [Received(b"t", n, b"chat:%d" % (n % 2), b"\xff%d" % n) for n in range(5)]
    packed = pack(received)
    found = list(messages("1700000000000-9", {b"packed": packed, b"at": b"t:4"}))
    assert found == [
        (log_id.decode(), channel, data)
        for log_id, channel, data in unpack(b"1700000000000-9", packed).logged
    ]


def test_the_printed_reader_reads_plain_entries_and_no_other_version(messages: Any) -> None:
    assert list(messages("1-0", {b"channel": b"c", b"data": b"d"})) == [("1-0", b"c", b"d")]
    with pytest.raises(ValueError, match="another version"):
        list(messages("1-0", {b"packed": b"\x02"}))
