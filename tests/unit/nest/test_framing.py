"""NestJS' frames and packets, against JavaScript's way of counting."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from constellation_ws.nest.framing import (
    FrameDecoder,
    FramingError,
    FramingFault,
    Packet,
    Reply,
    answer,
    encode,
    failure,
    no_message_handler,
    read_packet,
    read_reply,
)

LIMIT = 5_000

# What NestJS 12 takes for its own; with any other key it hands the whole packet to the application.
ENVELOPE_KEYS = {"id", "err", "response", "isDisposed", "status"}

any_text = st.text(st.characters(exclude_categories=["Cs"]))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
)


def units(text: str) -> bytes:
    """Two bytes for each element of the JavaScript string."""
    return text.encode("utf-16-le")


def frame(text: str) -> bytes:
    """As NestJS writes it: `text.length + '#' + text`."""
    return f"{len(units(text)) // 2}#{text}".encode()


def decode(chunks: Iterable[bytes], limit: int = LIMIT) -> tuple[list[bytes], FramingFault | None]:
    decoder = FrameDecoder(limit)
    texts: list[bytes] = []
    try:
        for chunk in chunks:
            for text in decoder.feed(chunk):
                texts.append(text)
    except FramingError as error:
        return texts, error.fault
    return texts, None


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def length_of(text: str, limit: int) -> str | FramingFault | None:
    """The digits before the first `#`; None where it is still to come."""
    digits = ""
    for char in text:
        if char == "#":
            break
        digits += char
        if char not in "0123456789":
            return FramingFault.NOT_A_NUMBER
        if len(digits) > len(str(limit)):
            return FramingFault.TOO_LONG
    else:
        return None
    if not digits:
        return FramingFault.NOT_A_NUMBER
    return digits if int(digits) <= limit else FramingFault.TOO_LONG


def reference(stream: bytes, limit: int) -> tuple[list[bytes], FramingFault | None]:
    """The same by the plainest means: all at once, sliced as JavaScript slices."""
    after: FramingFault | None = None
    try:
        text = stream.decode()
    except UnicodeDecodeError as error:
        text = stream[: error.start].decode()
        # An unfinished character at the end is no fault yet.
        after = None if error.reason == "unexpected end of data" else FramingFault.NOT_UTF8
    texts: list[bytes] = []
    wide = units(text)
    while wide:
        rest = wide.decode("utf-16-le", "surrogatepass")
        digits = length_of(rest, limit)
        if digits is None or isinstance(digits, FramingFault):
            return texts, digits or after
        wide = wide[2 * (len(digits) + 1) :]
        body = wide[: 2 * int(digits)]
        try:
            found = body.decode("utf-16-le").encode()
        except UnicodeDecodeError:
            return texts, FramingFault.SPLIT_CHARACTER
        if len(found) > limit:
            return texts, FramingFault.TOO_LONG
        if len(body) < 2 * int(digits):
            return texts, after
        texts.append(found)
        wide = wide[len(body) :]
    return texts, after


@given(st.lists(any_text, max_size=5), st.lists(st.integers(0, 2**16)))
@example(["Привет, 😀!", "", "𝒳"], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
def test_every_text_comes_out_whole_wherever_the_bytes_are_cut(
    texts: list[str], places: list[int]
) -> None:
    stream = b"".join(map(frame, texts))
    assert decode(cut(stream, places), 10**6) == ([text.encode() for text in texts], None)


def test_a_text_comes_out_with_its_last_byte_and_not_before() -> None:
    decoder = FrameDecoder(LIMIT)
    stream = frame('"😀"') + frame('"я"')
    seen = [list(decoder.feed(stream[i : i + 1])) for i in range(len(stream))]
    assert [(i, texts) for i, texts in enumerate(seen) if texts] == [
        (len(frame('"😀"')) - 1, ['"😀"'.encode()]),
        (len(stream) - 1, ['"я"'.encode()]),
    ]


streams = st.lists(
    any_text.map(frame)
    | st.binary(max_size=6)
    | st.sampled_from([b"#", b"0#", b"3#", b"12", b"007#", b"5001#", "1#😀".encode(), b"\xf0\x9f"]),
    max_size=8,
).map(b"".join)


@given(streams, st.lists(st.integers(0, 2**16)), st.integers(1, 60))
@example(b"2#\xf0\x9f\x98\x80", [], 3)
@example("3#я😀".encode(), [], 6)
@example(b"1#\xff", [2], 9)
def test_faults_are_found_at_the_same_place_wherever_the_bytes_are_cut(
    stream: bytes, places: list[int], limit: int
) -> None:
    assert decode(cut(stream, places), limit) == reference(stream, limit)


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"GET / HTTP/1.1\r\n", FramingFault.NOT_A_NUMBER),
        (b"#{}", FramingFault.NOT_A_NUMBER),
        (b"-1#{}", FramingFault.NOT_A_NUMBER),
        (b" 2#{}", FramingFault.NOT_A_NUMBER),
        (b"2x#{}", FramingFault.NOT_A_NUMBER),
        ("٢#{}".encode(), FramingFault.NOT_A_NUMBER),
        (b"5001#", FramingFault.TOO_LONG),
        (b"99999", FramingFault.TOO_LONG),
        (b"2#\xff\xfe", FramingFault.NOT_UTF8),
        (b"3#\xed\xa0\x80", FramingFault.NOT_UTF8),
        ("2#a😀".encode(), FramingFault.SPLIT_CHARACTER),
    ],
)
def test_a_broken_stream_is_refused_with_the_reason(stream: bytes, fault: FramingFault) -> None:
    assert decode([stream]) == ([], fault)


def test_a_length_over_the_limit_is_refused_before_its_text_has_come() -> None:
    assert decode([b"50", b"00#"]) == ([], None)
    assert decode([b"50", b"01#"]) == ([], FramingFault.TOO_LONG)


@pytest.mark.parametrize(
    ("chunk", "has_begun"),
    [(b"", False), (b"1", True), (b"2#", True), (b"2#{", True), (b"2#{}", False), (b"2#{}2", True)],
)
def test_a_frame_has_begun_with_the_first_digit_of_its_length(
    chunk: bytes, *, has_begun: bool
) -> None:
    decoder = FrameDecoder(LIMIT)
    assert len([*decoder.feed(chunk)]) == chunk.count(b"}")
    assert decoder.has_begun is has_begun


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b'{"id":"7","response":{ "n":1.0}}', Reply("7", b'{ "n":1.0}', None)),
        (b'{"id":7,"err":null}', Reply("7", b"null", None)),
        (b'{"err":"no handler"}', Reply("", b"null", b'"no handler"')),
        (b'{"err":{"status":"error"}}', Reply("", b"null", b'{"status":"error"}')),
        (b'{"err":true,"response":1}', Reply("", b"1", b"true")),
    ],
)
def test_a_reply_is_what_a_handler_gave_or_raised(text: bytes, reply: Reply) -> None:
    assert read_reply(text) == reply


@pytest.mark.parametrize("text", [b"", b"[]", b'{"id":[]}', b'{"id":' + b"[" * 100_000])
def test_what_is_no_reply_is_refused(text: bytes) -> None:
    with pytest.raises(FramingError) as caught:
        read_reply(text)
    assert caught.value.fault is FramingFault.INVALID_JSON


def test_the_limit_counts_bytes_where_the_length_counts_units() -> None:
    text = "я" * 2_500
    assert decode([frame(text)]) == ([text.encode()], None)
    assert decode([frame(text + "я")]) == ([], FramingFault.TOO_LONG)


def test_what_came_before_a_fault_is_not_lost() -> None:
    assert decode([b"2#{}2#[]oops"]) == ([b"{}", b"[]"], FramingFault.NOT_A_NUMBER)


def _one_chunk_of_small_frames(count: int) -> list[bytes]:
    return [frame('{"я":1}') * count]


def _one_frame_in_small_chunks(count: int) -> list[bytes]:
    stream = frame("я" * 32 * count)
    return [stream[i : i + 64] for i in range(0, len(stream), 64)]


def _cpu_seconds(chunks: list[bytes]) -> float:
    rounds = []
    for _ in range(3):
        started = time.process_time()
        assert decode(chunks, 10**8)[1] is None
        rounds.append(time.process_time() - started)
    return min(rounds)


@pytest.mark.parametrize("shape", [_one_chunk_of_small_frames, _one_frame_in_small_chunks])
def test_ten_times_the_bytes_cost_about_ten_times_the_work(
    shape: Callable[[int], list[bytes]],
) -> None:
    # Quadratic code takes a hundred times as long; the bound lies between, far from both.
    assert _cpu_seconds(shape(30_000)) < 35 * _cpu_seconds(shape(3_000))


@given(any_json)
def test_an_encoded_frame_is_ascii_and_its_length_counts_its_bytes(value: object) -> None:
    length, _, text = encode(value).partition(b"#")
    assert text.isascii()
    assert int(length) == len(text)
    assert json.loads(text) == value


def test_raw_json_in_a_response_keeps_its_spelling() -> None:
    raw = '{"id":9223372036854775807,"big":1e400,"price":1.0,"text":"Привет 😀","null":null}'
    spelt = raw.replace("Привет 😀", "\\u041f\\u0440\\u0438\\u0432\\u0435\\u0442 \\ud83d\\ude00")
    assert encode(msgspec.Raw(raw.encode())).partition(b"#")[2].decode() == spelt


@pytest.mark.parametrize(
    "pattern",
    [
        '"isUserOnline"',
        '{"cmd":"isUserOnline"}',
        '{ "cmd" : "isUserOnline" }',
        r'"{\"cmd\":\"isUserOnline\"}"',
        r'"\"isUserOnline\""',
    ],
)
def test_a_pattern_means_the_same_in_each_of_its_forms(pattern: str) -> None:
    packet = read_packet(f'{{"pattern":{pattern},"data":1,"id":"7"}}'.encode())
    assert packet == Packet("isUserOnline", b"1", b'"7"')


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("42", None),
        ("null", None),
        ("[]", None),
        ('{"cmd":"ping","version":2}', None),
        ('{"cmd":{"cmd":"ping"}}', None),
        ('"{not json"', "{not json"),
        ('""', ""),
    ],
)
def test_a_pattern_of_another_form_is_no_handlers_name(pattern: str, name: str | None) -> None:
    assert read_packet(f'{{"pattern":{pattern}}}'.encode()).pattern == name


def test_data_and_id_are_the_senders_own_bytes() -> None:
    text = '{"id": {"a" : 18446744073709551616}, "data":  [1.0, 1e400, "я"], "more": 1}'
    packet = read_packet(text.encode())
    assert packet == Packet(None, '[1.0, 1e400, "я"]'.encode(), b'{"a" : 18446744073709551616}')


def test_the_trace_context_of_a_packets_metadata_is_put_into_its_data() -> None:
    context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for data, metadata, expected in (
        (
            '{"a": 1.0}',
            f'{{"traceparent": "{context}"}}',
            f'{{"a": 1.0,"traceparent":"{context}"}}',
        ),
        ('{"a": 1.0}', '{"traceparent": "wrong"}', '{"a": 1.0}'),
        ('{"a": 1.0}', '"text"', '{"a": 1.0}'),
        ("[1]", f'{{"traceparent": "{context}"}}', "[1]"),
    ):
        packet = read_packet(f'{{"pattern": "p", "data": {data}, "metadata": {metadata}}}'.encode())
        assert packet == Packet("p", expected.encode(), None)


def test_a_packet_without_id_is_an_event_and_one_with_a_null_id_a_request() -> None:
    assert read_packet(b'{"pattern":"p"}') == Packet("p", b"null", None)
    assert read_packet(b'{"pattern":"p","id":null}') == Packet("p", b"null", b"null")


@pytest.mark.parametrize(
    "text",
    [
        *[b"", b"null", b"[]", b'"{}"', b"{", b"{}{}", b'{"id":01}', b'{"x":NaN}', b'{"x":"\n"}'],
        b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_a_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(FramingError) as caught:
        read_packet(text)
    assert caught.value.fault is FramingFault.INVALID_JSON


HALVES = [
    # JSON.stringify('😀'.slice(0, 1))
    (r'"\ud83d"', r'"\ufffd"'),
    (r'"\uDE00 \ud83d"', r'"\ufffd \ufffd"'),
    (r'"\ud83d\ud83d\ude00"', r'"\ufffd\ud83d\ude00"'),
    (r'"\\ud83d \ud83d\n"', r'"\\ud83d \ufffd\n"'),
]


@pytest.mark.parametrize("half", [sent for sent, _ in HALVES])
def test_half_an_emoji_in_a_request_leaves_as_it_came(half: str) -> None:
    text = f'{{"pattern":{{"cmd":"p"}},"data":{{"t":{half}}},"x":{half},"id":{half}}}'
    assert read_packet(text.encode()) == Packet("p", f'{{"t":{half}}}'.encode(), half.encode())
    assert read_packet(f'{{"pattern":{half},"id":1}}'.encode()) == Packet(None, b"null", b"1")


@pytest.mark.parametrize(("sent", "read"), HALVES)
def test_half_an_emoji_in_a_reply_costs_a_replacement_character(sent: str, read: str) -> None:
    assert read_reply(f'{{"id":"7","response":{sent}}}'.encode()) == Reply("7", read.encode(), None)
    assert json.loads(read) == json.loads(sent).encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )


def test_broken_json_with_half_an_emoji_is_still_broken() -> None:
    with pytest.raises(FramingError):
        read_packet(rb'{"data":"\ud83d"')
    with pytest.raises(FramingError):
        read_reply(rb'{"response":"\ud83d"')


def test_replies_are_what_nestjs_itself_would_send() -> None:
    assert answer(b'"7"', {"success": True}) == encode(
        {"response": {"success": True}, "isDisposed": True, "id": "7"}
    )
    assert no_message_handler(b'"7"').partition(b"#")[2] == (
        b'{"id":"7","status":"error",'
        b'"err":"There is no matching message handler defined in the remote service."}'
    )
    assert json.loads(failure(b'"7"').partition(b"#")[2]) == {
        "err": {"status": "error", "message": "Internal server error"},
        "isDisposed": True,
        "id": "7",
    }


@pytest.mark.parametrize(
    "reply", [answer(b"1", {"data": 1}), failure(b"1"), no_message_handler(b"1")]
)
def test_no_reply_has_a_key_that_nestjs_12_would_not_take_for_its_own(reply: bytes) -> None:
    assert set(json.loads(reply.partition(b"#")[2])) <= ENVELOPE_KEYS
