"""Frames between pods: the same ones however the bytes are cut, and none that is too large."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.peers.wire import (
    MAX_FRAME_BYTES,
    MAX_GREETING_BYTES,
    VERSION,
    ForwardedRequest,
    ForwardedResponse,
    Framed,
    Frames,
    FramingFault,
    Kind,
    Opening,
    frame,
)

HEAD_BYTES = 9
KIND_AND_STREAM_BYTES = 5

FRAMES = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 0xFFFF_FFFF), st.binary(max_size=300)),
    max_size=8,
)


def trusting() -> Frames:
    frames = Frames()
    frames.trust()
    return frames


def taken(frames: Frames) -> list[Framed]:
    found = []
    while (one := frames.next()) is not None:
        found.append(one)
    return found


def head(length: int, kind: int = Kind.DATA, stream: int = 1) -> bytes:
    return length.to_bytes(4) + bytes((kind,)) + stream.to_bytes(4)


def test_pods_of_this_version_write_these_bytes() -> None:
    """Whoever changes one of them has to change VERSION: pods of both would be linked."""
    assert VERSION == 1
    assert {kind.name: kind.value for kind in Kind} == {
        **{"CHALLENGE": 1, "PROOF": 2, "WELCOME": 3, "PING": 4, "PONG": 5},
        **{"REQUEST": 10, "RESPONSE": 11, "CANCEL": 12, "FINISH": 13},
        **{"OPEN": 20, "ACCEPT": 21, "REFUSE": 22, "DATA": 23, "END": 24, "ABORT": 25},
        **{"HOLD": 26, "GO_ON": 27, "FULL": 28, "DRAINED": 29},
        **{"OFFER": 30, "TAKE": 31, "DECLINE": 32, "SESSION": 33, "KEEP": 34, "CLOSE": 35},
    }
    assert frame(Kind.DATA, 7, b"x") == b"\0\0\0\6\x17\0\0\0\7x"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (ForwardedRequest("GET", "sid", b"body"), ["GET", "sid", b"body", ""]),
        (
            ForwardedResponse(200, [(b"a", b"b")], b"body"),
            [200, [[b"a", b"b"]], b"body", ""],
        ),
        (Opening("sid"), ["sid"]),
    ],
)
def test_payloads_are_written_without_names(value: msgspec.Struct, written: object) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == written


def test_a_greeting_is_short_and_a_frame_has_64_megabytes_at_most() -> None:
    stranger, trusted = Frames(), trusting()
    for frames, most in ((stranger, 512), (trusted, 64 << 20)):
        frames.feed(head(most))
        assert frames.next() is None
    for frames, most in ((Frames(), 512), (trusting(), 64 << 20)):
        frames.feed(head(most + 1))
        with pytest.raises(FramingFault):
            frames.next()


@given(FRAMES)
def test_what_is_written_is_read(sent: list[tuple[Kind, int, bytes]]) -> None:
    frames = trusting()
    frames.feed(b"".join(frame(*one) for one in sent))
    assert taken(frames) == [Framed(*one) for one in sent]


@given(FRAMES, st.data())
def test_frames_are_the_same_wherever_the_bytes_are_cut(
    sent: list[tuple[Kind, int, bytes]], data: st.DataObject
) -> None:
    said = b"".join(frame(*one) for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=10)))
    frames, found = trusting(), []
    for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        frames.feed(said[start:end])
        found += taken(frames)
    assert found == [Framed(*one) for one in sent]


def test_frames_that_come_byte_by_byte_are_the_same() -> None:
    sent = [
        (Kind.REQUEST, 1, b"\x00\xff" * 40),
        (Kind.CANCEL, 1, b""),
        (Kind.DATA, 0xFFFF_FFFF, b"x"),
    ]
    frames, found = trusting(), []
    for byte in b"".join(frame(*one) for one in sent):
        assert frames.next() is None
        frames.feed(bytes((byte,)))
        if (one := frames.next()) is not None:
            found.append(one)
    assert found == [Framed(*one) for one in sent]


def test_a_frame_of_an_unknown_kind_is_a_frame() -> None:
    frames = trusting()
    frames.feed(head(KIND_AND_STREAM_BYTES, kind=250) + frame(Kind.PING, 0))
    assert taken(frames) == [Framed(250, 1, b""), Framed(Kind.PING, 0, b"")]


@pytest.mark.parametrize("length", range(KIND_AND_STREAM_BYTES))
def test_a_frame_shorter_than_its_own_head_is_refused(length: int) -> None:
    """Taken for a frame, it would end before it begins, and be found again for ever."""
    frames = trusting()
    frames.feed(head(length))
    with pytest.raises(FramingFault):
        frames.next()


@pytest.mark.parametrize(
    ("most", "frames"), [(MAX_GREETING_BYTES, Frames()), (MAX_FRAME_BYTES, trusting())]
)
def test_a_frame_that_is_too_large_is_refused_by_its_head_alone(most: int, frames: Frames) -> None:
    frames.feed(head(most + 1))
    with pytest.raises(FramingFault, match=str(most + 1)):
        frames.next()


def test_a_frame_as_large_as_a_stranger_may_send_is_read() -> None:
    payload = b"x" * (MAX_GREETING_BYTES - KIND_AND_STREAM_BYTES)
    frames = Frames()
    frames.feed(frame(Kind.PROOF, 0, payload))
    assert taken(frames) == [Framed(Kind.PROOF, 0, payload)]


def test_a_large_frame_right_behind_the_greeting_is_read_once_its_sender_is_trusted() -> None:
    """Both may come in one read."""
    large = b"x" * (2 * MAX_GREETING_BYTES)
    frames = Frames()
    frames.feed(frame(Kind.PROOF, 0, b"p") + frame(Kind.DATA, 1, large))
    assert frames.next() == Framed(Kind.PROOF, 0, b"p")
    frames.trust()
    assert frames.next() == Framed(Kind.DATA, 1, large)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,  # TLS
        b'57#{"pattern":"ping"}',  # NestJS
        b"*1\r\n$4\r\nPING\r\n",  # Redis
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_other_protocols_are_refused_by_their_first_bytes(said: bytes) -> None:
    frames = Frames()
    frames.feed(said)
    with pytest.raises(FramingFault):
        frames.next()


@given(st.binary(max_size=600))
def test_a_strangers_bytes_are_frames_or_refused(said: bytes) -> None:
    frames = Frames()
    frames.feed(said)
    try:
        found = taken(frames)
    except FramingFault:
        return
    assert all(len(one.payload) + KIND_AND_STREAM_BYTES <= MAX_GREETING_BYTES for one in found)
    read = sum(HEAD_BYTES + len(one.payload) for one in found)
    assert len(said) - read < MAX_GREETING_BYTES + HEAD_BYTES, "a whole frame was left"
