"""The Autobahn testsuite's cases for a server as a table: groups 1 to 7, 9 (modest sizes) and 10.

Each case says what a client writes and what the parser makes of it. Wherever the connection is not
to fail, the suite's client closes it at the end, and so does each case here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from constellation_ws.websocket import Close, CloseCode, Failure, Parser, Ping, Pong, Received
from tests import utf8_texts
from tests.utf8_texts import GREEK
from tests.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    chopped,
    client_close,
    client_frame,
    client_message,
)

MAX_MESSAGE_BYTES = 4 << 20

HELLO = b"Hello, world!"
NOT_TEXT = bytes.fromhex("00 ff fe fd fc fb 00 ff")
SURROGATE = b"\xed\xa0\x80"
BEYOND_UNICODE = b"\xf4\x90\x80\x80"

Outcome = str | bytes | Ping | Pong | Close | CloseCode
"""As the parser says it; of a failure only the code, since its words are ours."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    writes: Sequence[bytes]
    outcome: Sequence[Outcome]


def ending_well(name: str, writes: Sequence[bytes], *outcome: Outcome) -> Case:
    closing = (*writes, client_close(1000))
    return Case(name, closing, (*outcome, Close(1000, "")))


def outcome_of(received: Sequence[Received]) -> list[Outcome]:
    return [item.code if isinstance(item, Failure) else item for item in received]


def octets(*frames: bytes) -> list[bytes]:
    return chopped(b"".join(frames), 1)


def framing() -> Iterator[Case]:
    sizes = (0, 125, 126, 127, 128, 65535, 65536)
    for place, size in enumerate(sizes, 1):
        text, binary = "*" * size, b"\xfe" * size
        yield ending_well(f"1.1.{place}", [client_frame(TEXT, text.encode())], text)
        yield ending_well(f"1.2.{place}", [client_frame(BINARY, binary)], binary)
    text, binary = "*" * 65536, b"\xfe" * 65536
    yield ending_well("1.1.8", chopped(client_frame(TEXT, text.encode()), 997), text)
    yield ending_well("1.2.8", chopped(client_frame(BINARY, binary), 997), binary)


def pings_and_pongs() -> Iterator[Case]:
    for place, payload in enumerate((b"", HELLO, NOT_TEXT, b"\xfe" * 125), 1):
        yield ending_well(f"2.{place}", [client_frame(PING, payload)], Ping(payload))
    longest, unsolicited = b"\xfe" * 125, b"unsolicited pong payload"
    too_long = client_frame(PING, b"\xfe" * 126)
    yield Case("2.5", [too_long], [CloseCode.PROTOCOL_ERROR])
    yield ending_well("2.6", octets(client_frame(PING, longest)), Ping(longest))
    yield ending_well("2.7", [client_frame(PONG)], Pong(b""))
    pong = client_frame(PONG, unsolicited)
    yield ending_well("2.8", [pong], Pong(unsolicited))
    yield ending_well(
        "2.9", [pong, client_frame(PING, b"payload")], Pong(unsolicited), Ping(b"payload")
    )
    payloads = [b"payload-%d" % number for number in range(10)]
    pings = [client_frame(PING, payload) for payload in payloads]
    yield ending_well("2.10", pings, *map(Ping, payloads))
    yield ending_well("2.11", octets(*pings), *map(Ping, payloads))


def reserved_bits() -> Iterator[Case]:
    fails = CloseCode.PROTOCOL_ERROR
    hello, ping = client_frame(TEXT, HELLO), client_frame(PING)
    said = HELLO.decode()
    yield Case("3.1", [client_frame(TEXT, HELLO, reserved=1)], [fails])
    yield Case("3.2", [hello, client_frame(TEXT, HELLO, reserved=2), ping], [said, fails])
    yield Case("3.3", [hello, client_frame(TEXT, HELLO, reserved=3), ping], [said, fails])
    fourth = octets(hello, client_frame(TEXT, HELLO, reserved=4), ping)
    yield Case("3.4", fourth, [said, fails])
    yield Case("3.5", [client_frame(BINARY, NOT_TEXT, reserved=5)], [fails])
    yield Case("3.6", [client_frame(PING, HELLO, reserved=6)], [fails])
    yield Case("3.7", [client_frame(CLOSE, reserved=7)], [fails])


def opcodes() -> Iterator[Case]:
    fails = CloseCode.PROTOCOL_ERROR
    hello, ping = client_frame(TEXT, HELLO), client_frame(PING)
    for group, first in (("4.1", 3), ("4.2", 11)):
        yield Case(f"{group}.1", [client_frame(first)], [fails])
        yield Case(f"{group}.2", [client_frame(first + 1, b"reserved opcode payload")], [fails])
        yield Case(f"{group}.3", [hello, client_frame(first + 2), ping], [HELLO.decode(), fails])
        fourth = [hello, client_frame(first + 3, HELLO), ping]
        yield Case(f"{group}.4", fourth, [HELLO.decode(), fails])
        fifth = octets(hello, client_frame(first + 4, HELLO), ping)
        yield Case(f"{group}.5", fifth, [HELLO.decode(), fails])


def fragmentation() -> Iterator[Case]:
    yield from fragmented_messages()
    yield from misplaced_fragments()


def fragmented_messages() -> Iterator[Case]:
    begin = client_frame(TEXT, b"fragment1", last=False)
    more = client_frame(CONTINUATION, b"fragment2", last=False)
    end = client_frame(CONTINUATION, b"fragment2")
    ping = client_frame(PING, b"ping payload")
    whole, pinged = "fragment1fragment2", Ping(b"ping payload")
    for name, writes in (
        ("5.3", [begin + end]),
        ("5.4", [begin, end]),
        ("5.5", octets(begin, end)),
    ):
        yield ending_well(name, writes, whole)
    for name, writes in (
        ("5.6", [begin + ping + end]),
        ("5.7", [begin, ping, end]),
        ("5.8", octets(begin, ping, end)),
    ):
        yield ending_well(name, writes, pinged, whole)
    frames = [
        begin,
        more,
        client_frame(PING, b"pongme 1!"),
        more,
        more,
        client_frame(PING, b"pongme 2!"),
        end,
    ]
    outcome = (Ping(b"pongme 1!"), Ping(b"pongme 2!"), "fragment1" + 4 * "fragment2")
    yield ending_well("5.19", [b"".join(frames[:3]), b"".join(frames[3:])], *outcome)
    yield ending_well("5.20", frames, *outcome)


def misplaced_fragments() -> Iterator[Case]:
    fails = CloseCode.PROTOCOL_ERROR
    for name, opcode in (("5.1", PING), ("5.2", PONG)):
        begin = client_frame(opcode, b"fragment1", last=False)
        yield Case(name, [begin, client_frame(CONTINUATION, b"fragment2")], [fails])
    hello = client_frame(TEXT, HELLO)
    for place, last in ((9, True), (12, False)):
        stray = client_frame(CONTINUATION, b"non-continuation payload", last=last)
        yield Case(f"5.{place}", [stray + hello], [fails])
        yield Case(f"5.{place + 1}", [stray, hello], [fails])
        yield Case(f"5.{place + 2}", octets(stray, hello), [fails])
    begin = client_frame(TEXT, b"fragment1", last=False)
    end = client_frame(CONTINUATION, b"fragment2")
    stray = client_frame(CONTINUATION, b"fragment3", last=False)
    yield Case("5.15", [begin + end + stray + hello], ["fragment1fragment2", fails])
    for name, last in (("5.16", False), ("5.17", True)):
        stray = client_frame(CONTINUATION, b"fragment1", last=last)
        yield Case(name, [stray, begin, end] * 2, [fails])
    yield Case("5.18", [begin + client_frame(TEXT, b"fragment2")], [fails])


def utf8() -> Iterator[Case]:
    empty = client_frame(TEXT, last=False), client_frame(CONTINUATION, last=False)
    end = client_frame(CONTINUATION)
    yield ending_well("6.1.1", [client_frame(TEXT)], "")
    yield ending_well("6.1.2", [*empty, end], "")
    middle = client_frame(CONTINUATION, b"middle frame payload", last=False)
    yield ending_well("6.1.3", [empty[0], middle, end], "middle frame payload")
    text = "Hello-µ@ßöäüàá-UTF-8!!"
    payload = text.encode()
    yield ending_well("6.2.1", [client_frame(TEXT, payload)], text)
    halves = "Hello-µ@ßöä".encode(), "üàá-UTF-8!!".encode()
    first, second = client_frame(TEXT, halves[0], last=False), client_frame(CONTINUATION, halves[1])
    yield ending_well("6.2.2", [first, second], text)
    yield ending_well("6.2.3", [client_message(TEXT, payload, 1)], text)
    yield ending_well("6.2.4", [client_message(TEXT, GREEK, 1)], GREEK.decode())
    wrong = GREEK + SURROGATE + b"edited"
    yield Case("6.3.1", [client_frame(TEXT, wrong)], [CloseCode.INVALID_DATA])
    yield Case("6.3.2", [client_message(TEXT, wrong, 1)], [CloseCode.INVALID_DATA])
    for group, payloads in enumerate(utf8_texts.GROUPS.values(), 5):
        for place, (is_valid, payload) in enumerate(payloads, 1):
            name, frame = f"6.{group}.{place}", client_frame(TEXT, payload)
            if is_valid:
                yield ending_well(name, [frame], payload.decode())
            else:
                yield Case(name, [frame], [CloseCode.INVALID_DATA])


def closing() -> Iterator[Case]:
    hello, close = client_frame(TEXT, HELLO), client_close(1000)
    begin = client_frame(TEXT, b"fragment1", last=False)
    end = client_frame(CONTINUATION, b"fragment2")
    closed = Close(1000, "")
    yield ending_well("7.1.1", [hello], HELLO.decode())
    yield Case("7.1.2", [close, client_frame(CLOSE)], [closed])
    yield Case("7.1.3", [close, client_frame(PING)], [closed])
    yield Case("7.1.4", [close, hello], [closed])
    yield Case("7.1.5", [begin, close, end], [closed])
    large = "BAsd7&jh23" * 26214
    last = client_frame(PING)
    sixth = [client_frame(TEXT, large.encode()), hello, close, last]
    yield Case("7.1.6", sixth, [large, HELLO.decode(), closed])
    yield from close_payloads()
    for place, code in enumerate((*range(1000, 1004), *range(1007, 1012), 3000, 3999, 4000, 4999)):
        yield Case(f"7.7.{place + 1}", [client_close(code)], [Close(code, "")])
    for place, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)):
        yield Case(f"7.9.{place + 1}", [client_close(code)], [CloseCode.PROTOCOL_ERROR])
    for place, code in enumerate((5000, 65535)):
        yield Case(f"7.13.{place + 1}", [client_close(code)], [CloseCode.PROTOCOL_ERROR])


def close_payloads() -> Iterator[Case]:
    yield Case("7.3.1", [client_frame(CLOSE)], [Close(CloseCode.NO_STATUS, "")])
    yield Case("7.3.2", [client_frame(CLOSE, b"a")], [CloseCode.PROTOCOL_ERROR])
    yield Case("7.3.3", [client_close(1000)], [Close(1000, "")])
    yield Case("7.3.4", [client_close(1000, b"Hello World!")], [Close(1000, "Hello World!")])
    yield Case("7.3.5", [client_close(1000, b"*" * 123)], [Close(1000, "*" * 123)])
    yield Case("7.3.6", [client_close(1000, b"*" * 124)], [CloseCode.PROTOCOL_ERROR])
    wrong = client_close(1000, GREEK + SURROGATE + b"edited")
    yield Case("7.5.1", [wrong], [CloseCode.INVALID_DATA])


def limits() -> Iterator[Case]:
    """Yield group 9; the suite's 16 MB messages bring nothing that one megabyte does not."""
    for place, size in enumerate((64 << 10, 256 << 10, 1 << 20), 1):
        payload = (b"BAsd7&jh23" * (size // 10 + 1))[:size]
        yield ending_well(f"9.1.{place}", [client_frame(TEXT, payload)], payload.decode())
        yield ending_well(f"9.2.{place}", [client_frame(BINARY, payload)], payload)
    payload = b"*" * (256 << 10)
    for place, size in enumerate((64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10), 1):
        text, binary = (client_message(opcode, payload, size) for opcode in (TEXT, BINARY))
        yield ending_well(f"9.3.{place}", [text], payload.decode())
        yield ending_well(f"9.4.{place}", [binary], payload)
    for place, size in enumerate((64, 128, 256, 512, 1024, 2048), 1):
        text, binary = (client_frame(opcode, payload) for opcode in (TEXT, BINARY))
        yield ending_well(f"9.5.{place}", chopped(text, size), payload.decode())
        yield ending_well(f"9.6.{place}", chopped(binary, size), payload)
    for place, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
        text, binary = (client_frame(opcode, b"*" * size) for opcode in (TEXT, BINARY))
        yield ending_well(f"9.7.{place}", [text] * 100, *["*" * size] * 100)
        yield ending_well(f"9.8.{place}", [binary] * 100, *[b"*" * size] * 100)


def auto_fragmentation() -> Iterator[Case]:
    text = "*" * 65536
    yield ending_well("10.1.1", [client_message(TEXT, text.encode(), 1300)], text)


GROUPS = (
    framing,
    pings_and_pongs,
    reserved_bits,
    opcodes,
    fragmentation,
    utf8,
    closing,
    limits,
    auto_fragmentation,
)
CASES = [case for group in GROUPS for case in group()]
SHORT = [case for case in CASES if sum(map(len, case.writes)) < 10_000]


def named(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@named(CASES)
def test_a_case_comes_out_as_the_suite_expects(case: Case) -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    received = [item for data in case.writes for item in parser.feed(data)]
    assert outcome_of(received) == list(case.outcome)


@named(CASES)
def test_a_case_comes_out_the_same_when_all_arrives_at_once(case: Case) -> None:
    received = Parser(MAX_MESSAGE_BYTES).feed(b"".join(case.writes))
    assert outcome_of(received) == list(case.outcome)


@named(SHORT)
def test_a_case_comes_out_the_same_octet_by_octet(case: Case) -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    received = [item for data in octets(*case.writes) for item in parser.feed(data)]
    assert outcome_of(received) == list(case.outcome)


THREE_PARTS = (GREEK, BEYOND_UNICODE, b"edited")
BYTE_BY_BYTE = (GREEK + b"\xf4", b"\x90", b"\x80\x80edited")
"""F4 may begin a character; F4 90 may not."""


def in_fragments(first: bytes, second: bytes, third: bytes) -> list[bytes]:
    return [
        client_frame(TEXT, first, last=False),
        client_frame(CONTINUATION, second, last=False),
        client_frame(CONTINUATION, third),
    ]


def in_chops(first: bytes, second: bytes, third: bytes) -> list[bytes]:
    frame = client_frame(TEXT, first + second + third)
    end = len(frame) - len(third)
    start = end - len(second)
    return [frame[:start], frame[start:end], frame[end:]]


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param(in_fragments(*THREE_PARTS), id="6.4.1"),
        pytest.param(in_fragments(*BYTE_BY_BYTE), id="6.4.2"),
        pytest.param(in_chops(*THREE_PARTS), id="6.4.3"),
        pytest.param(in_chops(*BYTE_BY_BYTE), id="6.4.4"),
    ],
)
def test_text_fails_with_the_first_byte_that_cannot_be_right(writes: list[bytes]) -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    outcomes = [outcome_of(parser.feed(data)) for data in writes]
    assert outcomes == [[], [CloseCode.INVALID_DATA], []]
