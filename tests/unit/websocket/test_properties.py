"""The WebSocket parser and frame builders over any stream, and against another implementation.

Not here: single cases and costs (test_websocket), the Autobahn cases (test_websocket_cases).
"""

import codecs
import itertools
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from constellation_ws.websocket import (
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
from tests.fuzz.websocket_invariants import check_frames, check_stream
from tests.websocket_frames import BINARY, CONTINUATION, PING, PONG, TEXT, client_frame

MAX_MESSAGE_BYTES = 1 << 16


# Properties over any stream


@dataclass(frozen=True, slots=True)
class Sent:
    """What a well-behaved client writes, and what therefore has to arrive."""

    stream: bytes
    messages: tuple[Received, ...]


masks = st.binary(min_size=4, max_size=4)
controls = st.tuples(st.sampled_from((PING, PONG)), st.binary(max_size=10), masks)
contents = st.one_of(
    st.text(max_size=20), st.binary(max_size=20), st.text(max_size=4).map(lambda few: few * 40)
)


@st.composite
def conversations(draw: st.DrawFn) -> Sent:
    """Draw messages in fragments, with control frames before, between and after these."""
    frames: list[bytes] = []
    messages: list[Received] = []
    for content in draw(st.lists(contents, max_size=4)):
        payload = content.encode() if isinstance(content, str) else content
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = itertools.pairwise((0, *cuts, len(payload)))
        opcode = TEXT if isinstance(content, str) else BINARY
        for place, (start, end) in enumerate(pieces):
            for control, control_payload, mask in draw(st.lists(controls, max_size=1)):
                frames.append(client_frame(control, control_payload, mask=mask))
                messages.append((Ping if control == PING else Pong)(control_payload))
            frames.append(
                client_frame(
                    CONTINUATION if place else opcode,
                    payload[start:end],
                    last=place == len(cuts),
                    mask=draw(masks),
                )
            )
        messages.append(content)
    return Sent(b"".join(frames), tuple(messages))


@given(sent=conversations(), cuts=st.lists(st.integers(min_value=1, max_value=300)))
def test_what_was_sent_arrives_however_it_was_fragmented_and_cut(
    sent: Sent, cuts: list[int]
) -> None:
    parser = Parser(MAX_MESSAGE_BYTES)
    received: list[Received] = []
    at = 0
    for size in (*cuts, len(sent.stream)):
        received += parser.feed(sent.stream[at : at + size])
        at += size
    assert tuple(received) == sent.messages


@given(st.binary(max_size=500))
def test_any_bytes_are_survived(data: bytes) -> None:
    check_stream(data)


first_bytes = st.one_of(
    st.sampled_from((0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A)), st.integers(0, 255)
)
sized = st.binary(max_size=200).map(lambda payload: bytes((len(payload),)) + payload)
recipes = st.lists(st.builds(lambda first, rest: bytes((first,)) + rest, first_bytes, sized))


@given(recipes.map(b"".join))
def test_any_frames_are_survived(recipe: bytes) -> None:
    check_frames(recipe)


# A second opinion: the protocol machines of the `websockets` library

TOLERANT_BYTES = 1 << 20
"""So large that websockets' own limit, which counts control frames too, is never met."""


@dataclass(frozen=True, slots=True)
class WrittenFrame:
    opcode: int
    payload: bytes
    last: bool
    reserved: int

    def to_bytes(self) -> bytes:
        return client_frame(self.opcode, self.payload, last=self.last, reserved=self.reserved)


payloads = st.one_of(
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=20),
    st.binary(min_size=120, max_size=130),
    st.builds(
        lambda code, reason: code.to_bytes(2) + reason.encode(),
        st.sampled_from((1000, 1001, 1005, 1012, 1015, 2999, 3000, 4999, 5000)),
        st.text(max_size=5),
    ),
)
written_frames = st.builds(
    WrittenFrame,
    opcode=st.one_of(st.sampled_from((0, 0, 1, 2, 8, 9, 10)), st.integers(0, 15)),
    payload=payloads,
    last=st.booleans(),
    reserved=st.sampled_from((0,) * 20 + (1, 2, 4)),
)


def second_opinion(stream: bytes) -> list[Received | CloseCode]:
    """Say what the websockets library makes of a client's stream; of a failure only its code."""
    server = ServerProtocol(state=State.OPEN, max_size=TOLERANT_BYTES)
    server.receive_data(stream)
    said: list[Received | CloseCode] = []
    opcode, pieces = Opcode.CONT, ""
    payload = b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for frame in server.events_received():
        assert isinstance(frame, Frame)
        match frame.opcode:
            case Opcode.PING:
                said.append(Ping(bytes(frame.data)))
            case Opcode.PONG:
                said.append(Pong(bytes(frame.data)))
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                if frame.opcode is not Opcode.CONT:
                    opcode, pieces, payload = frame.opcode, "", b""
                    decoder.reset()
                payload += frame.data
                if opcode is Opcode.TEXT:  # text is left to the layer above, which is here
                    try:
                        pieces += decoder.decode(frame.data, frame.fin)
                    except UnicodeDecodeError:
                        return [*said, CloseCode.INVALID_DATA]
                if frame.fin:
                    said.append(pieces if opcode is Opcode.TEXT else payload)
    if server.close_rcvd is not None:
        # It refuses a close between two fragments; RFC 6455 section 5.4 allows it, and so do we.
        said.append(Close(server.close_rcvd.code, server.close_rcvd.reason))
    elif server.close_sent is not None:
        said.append(CloseCode(server.close_sent.code))
    return said


@given(st.lists(written_frames, max_size=8))
def test_the_websockets_library_reads_any_frames_the_same_way(frames: list[WrittenFrame]) -> None:
    stream = b"".join(frame.to_bytes() for frame in frames)
    received = Parser(TOLERANT_BYTES).feed(stream)
    mine = [item.code if isinstance(item, Failure) else item for item in received]
    assert mine == second_opinion(stream)


def open_client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)


def test_what_a_websockets_client_writes_is_understood() -> None:
    client = open_client()
    client.send_text("héllo".encode())
    client.send_binary(b"\x00" * 70000)
    client.send_text(b"a", fin=False)
    client.send_ping(b"?")
    client.send_continuation(b"b", fin=True)
    client.send_pong(b"!")
    client.send_close(4000, "done")
    received = Parser(1 << 17).feed(b"".join(client.data_to_send()))
    assert received == [
        "héllo",
        b"\x00" * 70000,
        Ping(b"?"),
        "ab",
        Pong(b"!"),
        Close(4000, "done"),
    ]


@given(st.text(max_size=300), st.binary(max_size=300), st.binary(max_size=125))
def test_what_the_server_writes_is_understood_by_a_websockets_client(
    text: str, binary: bytes, control: bytes
) -> None:
    client = open_client()
    frames = (
        text_frame(text.encode()),
        binary_frame(binary),
        ping_frame(control),
        pong_frame(control),
        close_frame(CloseCode.SERVICE_RESTART, text),
    )
    client.receive_data(b"".join(frames))
    events = [event for event in client.events_received() if isinstance(event, Frame)]
    assert [(event.opcode, bytes(event.data)) for event in events[:4]] == [
        (Opcode.TEXT, text.encode()),
        (Opcode.BINARY, binary),
        (Opcode.PING, control),
        (Opcode.PONG, control),
    ]
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == CloseCode.SERVICE_RESTART
    assert text.startswith(client.close_rcvd.reason)
