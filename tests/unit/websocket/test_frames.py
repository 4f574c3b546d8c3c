"""The frames that a server writes, byte for byte as RFC 6455 has them."""

from __future__ import annotations

import pytest

from constellation_ws.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    CloseCode,
    binary_frame,
    close_frame,
    may_be_sent,
    ping_frame,
    pong_frame,
    text_frame,
)

SIZES = [
    (0, b"\x00"),
    (1, b"\x01"),
    (125, b"\x7d"),
    (126, b"\x7e\x00\x7e"),
    (127, b"\x7e\x00\x7f"),
    (65_535, b"\x7e\xff\xff"),
    (65_536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    (65_537, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x01"),
]


@pytest.mark.parametrize(("payload_bytes", "size"), SIZES)
def test_a_message_is_one_frame_with_its_shortest_length(payload_bytes: int, size: bytes) -> None:
    payload = b"x" * payload_bytes
    assert text_frame(payload) == b"\x81" + size + payload
    assert binary_frame(payload) == b"\x82" + size + payload


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 125])
def test_a_ping_and_a_pong_carry_a_payload(payload: bytes) -> None:
    assert ping_frame(payload) == bytes((0x89, len(payload))) + payload
    assert pong_frame(payload) == bytes((0x8A, len(payload))) + payload


def test_a_control_frame_holds_125_bytes() -> None:
    for frame in (ping_frame, pong_frame):
        with pytest.raises(ValueError, match="125 bytes"):
            frame(bytes(126))


def test_opcodes_are_those_of_the_registry() -> None:
    assert (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG) == (0, 1, 2, 8, 9, 10)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (CloseCode.NORMAL, 1000),
        (CloseCode.GOING_AWAY, 1001),
        (CloseCode.PROTOCOL_ERROR, 1002),
        (CloseCode.UNSUPPORTED_DATA, 1003),
        (CloseCode.NO_STATUS, 1005),
        (CloseCode.INVALID_DATA, 1007),
        (CloseCode.POLICY_VIOLATION, 1008),
        (CloseCode.MESSAGE_TOO_BIG, 1009),
        (CloseCode.INTERNAL_ERROR, 1011),
        (CloseCode.SERVICE_RESTART, 1012),
        (CloseCode.TRY_AGAIN_LATER, 1013),
    ],
)
def test_close_codes_are_those_of_the_registry(code: CloseCode, number: int) -> None:
    assert code == number


def test_codes_that_stand_for_something_are_never_sent() -> None:
    sent = [code for code in range(6_000) if may_be_sent(code)]
    assert sent == [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]
    with pytest.raises(ValueError, match="1006 may not be sent"):
        close_frame(1006)


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1005, "", b""),
        (1005, "left out", b""),
        (1000, "", b"\x03\xe8"),
        (4999, "bye", b"\x13\x87bye"),
        (1000, "x" * 123, b"\x03\xe8" + b"x" * 123),
        (1000, "x" * 124, b"\x03\xe8" + b"x" * 123),
        (1000, "x" * 122 + "ы", b"\x03\xe8" + b"x" * 122),
    ],
)
def test_a_close_frame_says_why_as_far_as_there_is_room(
    code: int, reason: str, payload: bytes
) -> None:
    assert close_frame(code, reason) == bytes((0x88, len(payload))) + payload
