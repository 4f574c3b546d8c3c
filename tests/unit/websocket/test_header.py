"""Headers of a client's frames: what they say, and what no client may send."""

from __future__ import annotations

import pytest

from constellation_ws.websocket.frames import CloseCode
from constellation_ws.websocket.header import Header, Violation, read_header

MASK = b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    ("start", "opcode", "is_last", "payload_bytes"),
    [
        (b"\x81\x80", 1, True, 0),
        (b"\x82\xfd", 2, True, 125),
        (b"\x01\x85", 1, False, 5),
        (b"\x00\x85", 0, False, 5),
        (b"\x80\x85", 0, True, 5),
        (b"\x88\x82", 8, True, 2),
        (b"\x89\xfd", 9, True, 125),
        (b"\x8a\x80", 10, True, 0),
        (b"\x81\xfe\x00\x7e", 1, True, 126),
        (b"\x81\xfe\x00\x7f", 1, True, 127),
        (b"\x81\xfe\xff\xff", 1, True, 65_535),
        (b"\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00", 1, True, 65_536),
        (b"\x81\xff\x7f" + b"\xff" * 7, 1, True, 2**63 - 1),
    ],
)
def test_a_header_is_read_once_it_is_complete_wherever_it_begins(
    start: bytes, opcode: int, is_last: bool, payload_bytes: int
) -> None:
    header = start + MASK
    expected = Header(opcode, is_last, payload_bytes, MASK, len(header))
    assert read_header(header + b"payload", 0) == expected
    before = b"\xff" * 5
    assert read_header(before + header, 5) == expected._replace(payload_at=5 + len(header))
    for end in range(len(header)):
        assert read_header(header[:end], 0) is None
        assert read_header(before + header[:end], 5) is None


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        *((bytes((0x81 | bit, 0x80)), "reserved bits") for bit in (0x10, 0x20, 0x40)),
        *((bytes((0x80 | opcode, 0x80)), "opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 15)),
        (b"\x81\x00", "not masked"),
        (b"\x81\x7f", "not masked"),
        *((bytes((opcode, 0x80)), "fragmented") for opcode in (8, 9, 10)),
        *((bytes((0x80 | opcode, 0xFE)), "too long") for opcode in (8, 9, 10)),
        (b"\x88\xff", "too long"),
        (b"\x81\xfe\x00\x7d", "shortest form"),
        (b"\x81\xff" + (65_535).to_bytes(8), "shortest form"),
        (b"\x81\xff" + (2**63).to_bytes(8), "out of range"),
        (b"\x81\xff" + (2**64 - 1).to_bytes(8), "out of range"),
    ],
)
def test_what_no_client_may_send_fails_the_connection_at_once(start: bytes, reason: str) -> None:
    for data in (start, start + MASK):
        with pytest.raises(Violation, match=reason) as caught:
            read_header(data, 0)
        assert caught.value.code is CloseCode.PROTOCOL_ERROR
        assert reason in caught.value.reason
