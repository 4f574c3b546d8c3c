"""The WebSocket parser and frame builders: what they take, refuse, write and cost.

Not here: any stream whatever (test_websocket_properties), the Autobahn testsuite's cases as a table
(test_websocket_cases), the opening handshake (test_websocket_handshake).
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from constellation_ws.websocket import (
    LOAD_BYTES,
    MAX_FRAGMENTS,
    Close,
    CloseCode,
    Failure,
    Parser,
    Ping,
    Pong,
    Received,
    binary_frame,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from tests.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    chopped,
    client_close,
    client_frame,
    client_length,
    client_message,
)

MAX_MESSAGE_BYTES = 1 << 16


def codes(received: Sequence[Received]) -> list[CloseCode]:
    return [item.code for item in received if isinstance(item, Failure)]


# What a parser takes and refuses


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 1000, 65535, 65536])
@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\x01\x80\xff\x7e", b"\x01\x02\x03\x04"])
def test_text_of_any_size_is_unmasked(size: int, mask: bytes) -> None:
    text = ("0123456789" * 6554)[:size]
    frame = client_frame(TEXT, text.encode(), mask=mask)
    assert Parser(MAX_MESSAGE_BYTES).feed(frame) == [text]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
@pytest.mark.parametrize("mask", [MASK, b"\x81\x82\x83\x84"])
def test_a_frame_may_be_cut_anywhere(size: int, mask: bytes) -> None:
    frame = client_frame(TEXT, b"a" * size, mask=mask)
    for cut in range(1, len(frame)):
        parser = Parser(MAX_MESSAGE_BYTES)
        assert parser.feed(frame[:cut]) == []
        assert parser.feed(frame[cut:]) == ["a" * size]


@pytest.mark.parametrize("is_inside_a_message", [False, True])
@pytest.mark.parametrize(
    ("frame", "received"),
    [
        (client_frame(PING, b"?" * 9), Ping(b"?" * 9)),
        (client_frame(PONG, b"!" * 9), Pong(b"!" * 9)),
        (client_close(1000, b"bye"), Close(1000, "bye")),
    ],
)
def test_a_control_frame_may_be_cut_anywhere(
    frame: bytes, received: Received, *, is_inside_a_message: bool
) -> None:
    for cut in range(1, len(frame)):
        parser = Parser(MAX_MESSAGE_BYTES)
        if is_inside_a_message:
            parser.feed(client_frame(TEXT, b"begun", last=False))
        assert parser.feed(frame[:cut]) == []
        assert parser.feed(frame[cut:]) == [received]


@pytest.mark.parametrize("payload", [b"", b"a", b"\x81", b"\x81" * 2])
@pytest.mark.parametrize("mask", [MASK, bytes(4), b"\x81\x81\x81\x81"])
def test_a_small_frame_of_any_kind_is_what_it_says(payload: bytes, mask: bytes) -> None:
    for opcode, received in ((BINARY, payload), (PING, Ping(payload)), (PONG, Pong(payload))):
        frame = client_frame(opcode, payload, mask=mask)
        assert Parser(MAX_MESSAGE_BYTES).feed(frame) == [received]
    for is_last in (False, True):
        frame = client_frame(CONTINUATION, payload, last=is_last, mask=mask)
        assert codes(Parser(MAX_MESSAGE_BYTES).feed(frame)) == [CloseCode.PROTOCOL_ERROR]


def test_several_messages_in_one_chunk_come_in_order() -> None:
    stream = (
        client_frame(TEXT, b"3")
        + client_frame(BINARY, b"\x00")
        + client_frame(PING, b"?")
        + client_frame(PONG, b"!")
        + client_frame(TEXT, "привет 👋".encode())
        + client_close(4001, "пока".encode())
    )
    assert Parser(MAX_MESSAGE_BYTES).feed(stream) == [
        "3",
        b"\x00",
        Ping(b"?"),
        Pong(b"!"),
        "привет 👋",
        Close(4001, "пока"),
    ]


def test_no_data_is_no_news() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    assert parser.load == 0
    assert parser.feed(b"") == []
    assert parser.feed(client_frame(TEXT, b"on")) == ["on"]


def test_a_small_text_frame_that_is_not_utf8_fails_the_connection() -> None:
    received = Parser(MAX_MESSAGE_BYTES).feed(client_frame(TEXT, b"\xc3("))
    assert received == [Failure(CloseCode.INVALID_DATA, "text is not valid UTF-8")]


def test_text_that_ends_inside_a_character_fails_the_connection() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    assert parser.feed(client_frame(TEXT, "€".encode()[:2], last=False)) == []
    assert codes(parser.feed(client_frame(CONTINUATION))) == [CloseCode.INVALID_DATA]


def test_invalid_text_fails_the_connection_before_the_rest_has_arrived() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    for _ in range(2):  # the next message, too
        begin = client_frame(TEXT, "é".encode(), last=False)
        assert parser.feed(begin) == []
        assert parser.feed(client_frame(CONTINUATION, b"!")) == ["é!"]
    assert codes(parser.feed(client_frame(TEXT, b"\xffx", last=False))) == [CloseCode.INVALID_DATA]


def test_binary_payloads_are_not_checked_for_text() -> None:
    frame = client_message(BINARY, b"\xff\xc3(" * 100, 7)
    assert Parser(MAX_MESSAGE_BYTES).feed(frame) == [b"\xff\xc3(" * 100]


@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_a_frame_without_a_mask_is_refused(opcode: int) -> None:
    # Four bytes more make the chunk as long as that of a frame with a mask.
    for payload in (b"", b"hi"):
        frame = bytes((0x80 | opcode, len(payload))) + payload
        received = Parser(MAX_MESSAGE_BYTES).feed(frame + b"more")
        assert received == [Failure(CloseCode.PROTOCOL_ERROR, "a frame is not masked")]


@pytest.mark.parametrize(
    ("size", "length_bytes"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)]
)
def test_a_length_in_more_bytes_than_needed_is_refused(size: int, length_bytes: int) -> None:
    frame = client_frame(BINARY, bytes(size), length_bytes=length_bytes)
    assert codes(Parser(1 << 20).feed(frame)) == [CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1])
def test_a_length_with_its_highest_bit_set_is_refused(size: int) -> None:
    header = bytes((0x80 | BINARY,)) + client_length(size)
    assert codes(Parser(MAX_MESSAGE_BYTES).feed(header)) == [CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize("second", [0x80 | 126, 0x80 | 127])
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_that_is_too_long_is_refused_by_its_second_byte(
    opcode: int, second: int
) -> None:
    received = Parser(MAX_MESSAGE_BYTES).feed(bytes((0x80 | opcode, second)))
    assert codes(received) == [CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [126, 127, 1 << 16, 1 << 40, (1 << 63) - 1])
def test_a_message_over_the_limit_is_refused_by_its_header(opcode: int, size: int) -> None:
    header = bytes((0x80 | opcode,)) + client_length(size) + b"mask"
    received = Parser(125).feed(header)
    assert received == [Failure(CloseCode.MESSAGE_TOO_BIG, "a message exceeds 125 bytes")]


def test_a_message_of_the_limit_is_taken_whole_and_in_fragments() -> None:
    parser = Parser(300)
    assert parser.feed(client_frame(BINARY, bytes(300))) == [bytes(300)]
    assert parser.feed(client_message(BINARY, bytes(300), 100)) == [bytes(300)]
    assert parser.feed(client_message(TEXT, bytes(300), 299)) == ["\0" * 300]


def test_fragments_are_refused_once_their_sum_passes_the_limit() -> None:
    parser = Parser(300)
    assert parser.feed(client_frame(TEXT, b"a" * 200, last=False)) == []
    assert parser.feed(client_frame(CONTINUATION, b"a" * 100, last=False)) == []
    assert parser.feed(client_frame(CONTINUATION, last=False)) == []
    header = bytes((CONTINUATION, 0x80 | 1)) + b"mask"
    assert codes(parser.feed(header)) == [CloseCode.MESSAGE_TOO_BIG]


def test_control_frames_are_taken_while_a_message_is_at_its_limit() -> None:
    parser = Parser(125)
    assert parser.feed(client_frame(TEXT, b"a" * 125, last=False)) == []
    assert parser.feed(client_frame(PING, b"b" * 125)) == [Ping(b"b" * 125)]
    assert parser.feed(client_frame(CONTINUATION)) == ["a" * 125]


def test_a_message_has_so_many_fragments_and_no_more() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    begin, more = client_frame(BINARY, last=False), client_frame(CONTINUATION, last=False)
    for _ in range(2):  # the next message has as many
        assert parser.feed(begin + more * (MAX_FRAGMENTS - 2)) == []
        assert parser.feed(client_frame(CONTINUATION)) == [b""]
    assert parser.feed(begin + more * (MAX_FRAGMENTS - 1)) == []
    assert codes(parser.feed(more)) == [CloseCode.POLICY_VIOLATION]


@pytest.mark.parametrize(
    ("stream", "load"),
    [
        (b"", 0),
        (client_frame(TEXT, b"3"), 1),
        (client_frame(TEXT, b"x" * 300), 1),
        (client_frame(PING), 1),
        (client_frame(PING) + client_frame(PONG, b"x") + client_frame(TEXT, b"3"), 3),
        (client_frame(BINARY, last=False) + client_frame(CONTINUATION, last=False) * 9, 10),
        (client_message(TEXT, b"x" * 1_000, 10), 100),
        (client_frame(BINARY, bytes(LOAD_BYTES - 1)), 1),
        (client_frame(BINARY, bytes(LOAD_BYTES)), 2),
        (client_frame(BINARY, bytes(10 * LOAD_BYTES)), 11),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000, 1_000_000])
def test_each_frame_counts_once_and_large_ones_by_their_size(
    stream: bytes, load: int, piece_bytes: int
) -> None:
    parser, counted = Parser(1 << 20), 0
    for piece in chopped(stream, piece_bytes):
        parser.feed(piece)
        counted += parser.load
    assert counted == load


def test_what_comes_after_the_end_counts_for_nothing() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    parser.feed(client_close(1000))
    parser.feed(client_frame(PING) * 10)
    assert parser.load == 0


def test_a_limit_below_a_control_frame_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="125"):
        Parser(124)


def test_what_came_before_a_violation_is_still_delivered() -> None:
    stream = client_frame(TEXT, b"one") + client_frame(PING) + client_frame(3)
    parser = Parser(MAX_MESSAGE_BYTES)
    received = parser.feed(stream)
    refusal = Failure(CloseCode.PROTOCOL_ERROR, "an opcode is reserved")
    assert received == ["one", Ping(b""), refusal]
    assert parser.feed(client_frame(TEXT, b"two")) == []


@pytest.mark.parametrize("last_words", [client_close(1000), client_frame(7)])
def test_nothing_is_read_after_the_end(last_words: bytes) -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    hello = client_frame(TEXT, b"hello")
    assert len(parser.feed(last_words + hello)) == 1
    assert parser.feed(hello) == []
    assert parser.feed(last_words) == []


def test_the_end_of_one_connection_is_not_that_of_another() -> None:
    Parser(MAX_MESSAGE_BYTES).feed(client_close(1000))
    assert Parser(MAX_MESSAGE_BYTES).feed(client_frame(TEXT, b"hello")) == ["hello"]


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_close_code_that_may_be_sent_can_be_echoed(code: int) -> None:
    (close,) = Parser(MAX_MESSAGE_BYTES).feed(client_close(code, b"why"))
    assert close == Close(code, "why")
    assert close_frame(code) == b"\x88\x02" + code.to_bytes(2)


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_a_close_code_that_is_reserved_or_unknown_is_refused(code: int) -> None:
    assert codes(Parser(MAX_MESSAGE_BYTES).feed(client_close(code))) == [CloseCode.PROTOCOL_ERROR]


# What a server writes


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65535, "81 7e ff ff"),
        (65536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_a_text_frame_has_the_shortest_length_and_no_mask(size: int, header: str) -> None:
    assert text_frame(b"x" * size) == bytes.fromhex(header) + b"x" * size


def test_frames_differ_by_their_opcode() -> None:
    frames = (binary_frame(b"a"), ping_frame(b"a"), pong_frame(b"a"), ping_frame(), pong_frame())
    assert frames == (b"\x82\x01a", b"\x89\x01a", b"\x8a\x01a", b"\x89\x00", b"\x8a\x00")


@pytest.mark.parametrize("build", [ping_frame, pong_frame])
def test_a_control_payload_above_125_bytes_is_a_mistake_of_the_caller(
    build: Callable[[bytes], bytes],
) -> None:
    assert len(build(bytes(125))) == 127
    with pytest.raises(ValueError, match="125"):
        build(bytes(126))


def test_a_close_without_a_code_is_answered_without_one() -> None:
    assert close_frame(CloseCode.NO_STATUS) == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 70000, -1])
def test_a_reserved_close_code_is_a_mistake_of_the_caller(code: int) -> None:
    with pytest.raises(ValueError, match=f"^{code} may not be sent"):
        close_frame(code)


def test_a_long_close_reason_is_cut_between_characters() -> None:
    longest = b"\x88" + bytes((2 + 123,)) + b"\x03\xe8" + b"a" * 123
    assert close_frame(CloseCode.NORMAL, "a" * 123) == longest
    assert close_frame(CloseCode.NORMAL, "a" * 124) == longest
    frame = close_frame(CloseCode.GOING_AWAY, "a" + "€" * 50)
    assert frame == b"\x88" + bytes((2 + 121,)) + b"\x03\xe9" + ("a" + "€" * 40).encode()


# What a connection costs


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """Give a function that tells how many bytes the parser's own lines hold now."""
    mine = tracemalloc.Filter(inclusive=True, filename_pattern="*/constellation_ws/websocket/*")
    gc.collect()
    tracemalloc.start()
    try:
        yield lambda: sum(
            line.size
            for line in tracemalloc.take_snapshot().filter_traces([mine]).statistics("filename")
        )
    finally:
        tracemalloc.stop()


def test_an_idle_connection_weighs_less_than_100_bytes() -> None:
    fresh, used = Parser(MAX_MESSAGE_BYTES), Parser(MAX_MESSAGE_BYTES)
    fresh.feed(client_frame(TEXT, b"3"))
    for data in chopped(client_message(TEXT, b"42/chats,[]" * 50, 100), 33):
        used.feed(data)
    assert used.feed(client_frame(TEXT, b"3")) == ["3"]
    assert gc.get_referents(used) == gc.get_referents(fresh)
    assert sys.getsizeof(used) < 100


def test_a_message_without_end_holds_no_more_than_the_limit() -> None:
    limit = 1 << 20
    parser = Parser(limit)
    small = client_frame(CONTINUATION, b"a" * 64, last=False)
    with measured() as held_bytes:
        parser.feed(client_frame(TEXT, b"a" * (limit // 2), last=False))
        for _ in range(8):
            assert parser.feed(small * (limit // 16 // 64)) == []
        # A bytearray grows ahead of its need, by an eighth.
        assert limit <= held_bytes() < limit * 9 // 8 + 4096
    assert codes(parser.feed(small)) == [CloseCode.MESSAGE_TOO_BIG]


def test_empty_fragments_without_end_weigh_nothing() -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    with measured() as held_bytes:
        parser.feed(client_frame(BINARY, last=False))
        empty = client_frame(CONTINUATION, last=False) * 1000
        for _ in range(20):
            assert parser.feed(empty) == []
        assert held_bytes() < 1024
    assert parser.feed(client_frame(CONTINUATION)) == [b""]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_byte_costs_the_same_however_much_has_come_before(opcode: int) -> None:
    """Copying what is held for each byte would make the second parser a hundred times slower."""
    held = (2 << 20) - 3000
    seconds = []
    for before in (0, held):
        parser = Parser(2 << 20)
        parser.feed(client_frame(opcode, b"a" * before, last=False))
        pieces = chopped(client_frame(CONTINUATION, b"a" * 3000), 1)
        start = time.process_time()
        received = [message for piece in pieces for message in parser.feed(piece)]
        seconds.append(time.process_time() - start)
        (message,) = received
        assert isinstance(message, str | bytes)
        assert len(message) == before + 3000
    assert seconds[1] < 10 * seconds[0] + 0.05


@pytest.mark.parametrize(
    "message",
    [
        client_frame(TEXT, b"x"),
        client_frame(TEXT, b""),
        client_frame(BINARY, bytes(200)),
        client_frame(TEXT, b"y" * 70_000),
        client_frame(PING, b"z" * 125),
        client_message(TEXT, b"fragmented", 3),
    ],
    ids=["text", "empty", "binary", "long", "ping", "fragments"],
)
def test_it_is_between_messages_before_the_first_byte_and_after_the_last(message: bytes) -> None:
    parser = Parser(1 << 20)
    assert parser.is_between_messages
    cuts = {1, 2, 3, 5, 6, 7, len(message) // 2, len(message) - 1} & set(range(1, len(message)))
    for cut in sorted(cuts):
        parser.feed(message[:cut])
        assert not parser.is_between_messages, cut
        assert parser.feed(message[cut:])
        assert parser.is_between_messages


def test_a_control_frame_inside_a_message_does_not_end_it() -> None:
    parser = Parser(1 << 20)
    parser.feed(client_frame(TEXT, b"one", last=False))
    assert parser.feed(client_frame(PING))
    assert not parser.is_between_messages
    assert parser.feed(client_frame(CONTINUATION, b"two"))
    assert parser.is_between_messages


def test_it_is_inside_a_message_whose_first_bytes_follow_a_whole_one() -> None:
    parser = Parser(1 << 20)
    parser.feed(client_frame(TEXT, b"whole") + client_frame(TEXT, b"half")[:3])
    assert not parser.is_between_messages
