"""RFC 6455 over the real server: its frames, spoken to the echo byte by byte.

The cases go through the same ground as groups 1 to 7, 9 and 10 of the Autobahn testsuite, whose
numbers some names carry; text has a `4` in front, which makes an Engine.IO message of it. The
testsuite itself is only published for Python 2. The parser alone meets all of its cases in
tests/unit/test_websocket_cases.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests import utf8_texts
from tests.conformance.wire import (
    ENGINE_IO,
    NO_STATUS,
    Frame,
    Wire,
    request,
    upgrade_headers,
    websocket,
    wired,
)
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
    client_length,
    client_message,
)

MAX_MESSAGE_BYTES = 1_000_000
PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009
SHORT_BYTES = 2_000

HELLO = b"4Hello, world!"
HELLO_FRAME = client_frame(TEXT, HELLO)
GREEK = b"4" + utf8_texts.GREEK
SURROGATE = b"\xed\xa0\x80"


@dataclass(frozen=True, slots=True)
class Case:
    """What a client writes, how it is answered, and how it ends."""

    name: str
    writes: Sequence[bytes]
    answers: Sequence[Frame] = ()
    end: bytes = client_close(1000)
    """Written last."""
    code: int = 1000
    """Of the server's close frame."""
    is_divisible: bool = True
    """False where the server hangs up before the end of it."""


def echoed(name: str, writes: Sequence[bytes], *messages: tuple[int, bytes]) -> Case:
    return Case(name, writes, messages)


def failing(name: str, end: bytes, code: int = PROTOCOL_ERROR) -> Case:
    return Case(name, [], end=end, code=code)


def framing() -> Iterator[Case]:
    for size in (1, 125, 126, 127, 128, 65535, 65536):
        text, binary = b"4" * size, b"\xfe" * size
        yield echoed(f"1.1 text of {size}", [client_frame(TEXT, text)], (TEXT, text))
        yield echoed(f"1.2 binary of {size}", [client_frame(BINARY, binary)], (BINARY, binary))
    yield echoed("1.2 empty binary", [client_frame(BINARY)], (BINARY, b""))
    for opcode, byte in ((TEXT, b"4"), (BINARY, b"\xfe")):
        payload = byte * 65536
        writes = chopped(client_frame(opcode, payload), 997)
        yield echoed(f"1.{opcode}.8 in pieces", writes, (opcode, payload))
    zero = client_frame(TEXT, HELLO, mask=b"\x00\x00\x00\x00")
    yield echoed("a mask of zeros", [zero], (TEXT, HELLO))
    many = [HELLO_FRAME] * 200
    yield echoed("200 messages in one segment", [b"".join(many)], *[(TEXT, HELLO)] * 200)


def pings() -> Iterator[Case]:
    for payload in (b"", HELLO, b"\x00\xff\xfe\xfd", b"\xfe" * 125):
        ping = client_frame(PING, payload)
        yield echoed(f"2 ping with {len(payload)} bytes", [ping], (PONG, payload))
    yield failing("2.5 ping with 126 bytes", client_frame(PING, b"\xfe" * 126))
    for payload in (b"", b"unsolicited pong payload"):
        writes = [client_frame(PONG, payload), client_frame(PING, b"x")]
        yield echoed(f"2.7 unsolicited pong with {len(payload)} bytes", writes, (PONG, b"x"))
    payloads = [b"payload-%d" % number for number in range(10)]
    ten = [client_frame(PING, payload) for payload in payloads]
    answers = [(PONG, payload) for payload in payloads]
    yield echoed("2.10 ten pings", ten, *answers)
    yield echoed("2.11 ten pings in one segment", [b"".join(ten)], *answers)


def violations() -> Iterator[Case]:
    for reserved in range(1, 8):
        bad = client_frame(TEXT, HELLO, reserved=reserved)
        yield failing(f"3 reserved bits {reserved}", bad)
        ping = client_frame(PING, reserved=reserved)
        yield failing(f"3 reserved bits {reserved} of a ping", ping)
    for opcode in (*range(3, 8), *range(11, 16)):
        yield failing(f"4 opcode {opcode}", client_frame(opcode, b"reserved"))
    yield failing("no mask", b"\x81\x024x")
    yield failing("no mask of a ping", b"\x89\x00")
    yield failing("no mask of a close", b"\x88\x02\x03\xe8")
    yield failing("a length of 125 in two bytes", client_frame(TEXT, b"4" * 125, length_bytes=2))
    yield failing("a length of 200 in eight bytes", client_frame(TEXT, b"4" * 200, length_bytes=8))
    yield failing("a length of 2^63", b"\x82\xff" + (1 << 63).to_bytes(8) + b"mask")
    yield failing("garbage", b"GET / HTTP/1.1\r\n\r\n")
    for message in (HELLO_FRAME, client_frame(BINARY, b"\x00")):
        opcode, payload = (TEXT, HELLO) if message is HELLO_FRAME else (BINARY, b"\x00")
        end = client_frame(3) + client_frame(PING)
        yield Case("3.2 after a message", [message], [(opcode, payload)], end, PROTOCOL_ERROR)


def fragments() -> Iterator[Case]:
    begin = client_frame(TEXT, b"4one", last=False)
    more = client_frame(CONTINUATION, b"two", last=False)
    end = client_frame(CONTINUATION, b"three")
    ping = client_frame(PING, b"x")
    pong, whole = (PONG, b"x"), (TEXT, b"4onethree")
    yield echoed("5.3 two fragments", [begin + end], whole)
    yield echoed("5.4 two fragments in two segments", [begin, end], whole)
    yield echoed("5.6 a ping between fragments", [begin + ping + end], pong, whole)
    yield echoed("5.7 a ping between segments", [begin, ping, end], pong, whole)
    writes = [begin, more, ping, more, more, ping, end]
    five = (TEXT, b"4onetwotwotwothree")
    yield echoed("5.20 five fragments and two pings", writes, pong, pong, five)
    empty = client_frame(TEXT, last=False) + client_frame(CONTINUATION, last=False)
    late = [empty, client_frame(CONTINUATION, b"4")]
    yield echoed("6.1.3 empty fragments first", late, (TEXT, b"4"))
    for opcode in (PING, PONG, CLOSE):
        yield failing(f"5.1 fragmented control frame {opcode}", client_frame(opcode, last=False))
    yield failing("5.9 continuation of nothing", end)
    yield failing("5.12 continuation of nothing, to be continued", more)
    yield Case("5.15 continuation behind a message", [begin + end], [whole], more, PROTOCOL_ERROR)
    yield failing("5.18 a message inside a message", begin + HELLO_FRAME)
    for size in (1, 64, 4096):
        text = b"4" + b"*" * 16384
        for opcode in (TEXT, BINARY):
            writes = [client_message(opcode, text, size)]
            yield echoed(f"9.{opcode + 2} fragments of {size}", writes, (opcode, text))


def texts() -> Iterator[Case]:
    text = "4Hello-µ@ßöäüàá-UTF-8!!👋".encode()
    yield echoed("6.2.1 several bytes a character", [client_frame(TEXT, text)], (TEXT, text))
    yield echoed("6.2.3 a byte a fragment", [client_message(TEXT, text, 1)], (TEXT, text))
    yield failing("6.3.1 invalid text", client_frame(TEXT, GREEK + SURROGATE), INVALID_TEXT)
    fragmented = client_message(TEXT, GREEK + SURROGATE, 1)
    yield failing("6.3.2 invalid text, a byte a fragment", fragmented, INVALID_TEXT)
    first = client_frame(TEXT, GREEK + b"\xf4\x90", last=False)
    yield failing("6.4.1 invalid text, unfinished", first, INVALID_TEXT)
    for group, members in utf8_texts.GROUPS.items():
        for place, (is_valid, member) in enumerate(members, 1):
            payload = b"4" + member
            frame = client_frame(TEXT, payload)
            name = f"6 {group} {place}"
            yield (
                echoed(name, [frame], (TEXT, payload))
                if is_valid
                else failing(name, frame, INVALID_TEXT)
            )


def closing() -> Iterator[Case]:
    close = client_close(1000)
    begin = client_frame(TEXT, b"4one", last=False)
    yield echoed("7.1.1 a message and a close", [HELLO_FRAME], (TEXT, HELLO))
    for name, behind in (("close", close), ("ping", client_frame(PING)), ("message", HELLO_FRAME)):
        yield Case(f"7.1.2 a {name} behind the close", [], end=close + behind, is_divisible=False)
    yield failing("7.1.5 a close between fragments", begin + close, 1000)
    yield failing("7.3.1 nothing in the close", client_frame(CLOSE), NO_STATUS)
    yield failing("7.3.2 half a code", client_frame(CLOSE, b"\x03"))
    yield failing("7.3.4 a reason", client_close(1000, b"Hello World!"), 1000)
    yield failing("7.3.5 the longest reason", client_close(1000, b"*" * 123), 1000)
    yield failing("7.3.6 a longer one", client_close(1000, b"*" * 124))
    yield failing("7.5.1 a reason that is no text", client_close(1000, SURROGATE), INVALID_TEXT)
    for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999):
        yield failing(f"7.7 code {code}", client_close(code), code)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield failing(f"7.9 code {code}", client_close(code))


def limits() -> Iterator[Case]:
    largest = b"4" + b"*" * (MAX_MESSAGE_BYTES - 1)
    yield echoed("9.1 the largest text", [client_frame(TEXT, largest)], (TEXT, largest))
    yield echoed("9.2 the largest binary", [client_frame(BINARY, largest)], (BINARY, largest))
    fragmented = client_message(TEXT, largest, 65536)
    yield echoed("9.3 the largest text in fragments", [fragmented], (TEXT, largest))
    head = b"\x81" + client_length(MAX_MESSAGE_BYTES + 1) + b"mask"
    yield failing("a larger one, before it has come", head, TOO_BIG)
    most = client_frame(TEXT, largest, last=False)
    yield failing("one byte more in a fragment", most + client_frame(CONTINUATION, b"*"), TOO_BIG)
    text = b"4" * 65536
    yield echoed("10.1.1 fragments of 1300", [client_message(TEXT, text, 1300)], (TEXT, text))


GROUPS = (framing, pings, violations, fragments, texts, closing, limits)
CASES = [case for group in GROUPS for case in group()]
SHORT = [case for case in CASES if len(b"".join(case.writes) + case.end) < SHORT_BYTES]
DIVISIBLE = [case for case in SHORT if case.is_divisible]


def named(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


async def play(wire: Wire, case: Case, *end: bytes) -> None:
    """Hear the answers, say the last, and be hung up on without having to say goodbye."""
    assert [await wire.frame() for _ in case.answers] == list(case.answers)
    await wire.write(*end)
    opcode, payload = await wire.frame()
    assert (opcode, code_of(payload)) == (CLOSE, case.code)
    assert await wire.ended() == b""


def code_of(payload: bytes) -> int:
    """Read a close frame's code; the words behind it are the server's own."""
    payload[2:].decode()
    return int.from_bytes(payload[:2]) if payload else NO_STATUS


@named(CASES)
async def test_a_case_comes_out_as_it_should(patient_port: int, case: Case) -> None:
    async with websocket(patient_port) as wire:
        await wire.message()
        await wire.write(*case.writes)
        await play(wire, case, case.end)


@named(DIVISIBLE)
async def test_a_case_comes_out_the_same_byte_by_byte(patient_port: int, case: Case) -> None:
    async with websocket(patient_port) as wire:
        await wire.message()
        await wire.write(*chopped(b"".join(case.writes), 1))
        await play(wire, case, *chopped(case.end, 1))


@named(SHORT)
async def test_a_case_comes_out_the_same_right_behind_the_handshake(
    patient_port: int, case: Case
) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(ENGINE_IO, upgrade_headers()) + b"".join(case.writes))
        assert (await wire.response()).status == 101
        await wire.message()
        await play(wire, case, case.end)


async def test_a_ping_is_answered_before_what_comes_behind_it(patient_port: int) -> None:
    ping = client_frame(PING, b"first")
    async with websocket(patient_port) as wire:
        await wire.message()
        await wire.write(ping + ping + client_frame(TEXT, b"1"))
        assert [await wire.frame() for _ in range(2)] == [(PONG, b"first")] * 2
        assert await wire.messages_to_the_end() == ([], 1000)
