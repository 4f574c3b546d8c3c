"""What has to be true of the WebSocket parser whatever bytes it is fed.

Not here: where the bytes come from (hypothesis in the unit tests, atheris in fuzz_websocket).
"""

from constellation_ws.websocket import (
    Close,
    Failure,
    Parser,
    Ping,
    Pong,
    Received,
    binary_frame,
    close_frame,
    pong_frame,
    text_frame,
)
from tests.websocket_frames import TEXT, chopped, client_frame, client_length

MAX_MESSAGE_BYTES = 300
SMALLEST_FRAME_BYTES = 6


def check_stream(data: bytes) -> None:
    """Feed any bytes, at once and in pieces. AssertionError where the parser breaks a promise."""
    parser = Parser(MAX_MESSAGE_BYTES)
    received = parser.feed(data)
    load = parser.load
    is_over = any(isinstance(item, Close | Failure) for item in received)

    for item in received:
        _check_item(item)
    assert not any(isinstance(item, Close | Failure) for item in received[:-1])
    if is_over:
        assert parser.feed(client_frame(TEXT, b"too late")) == []
        assert parser.load == 0
    assert len(received) - 1 <= load <= len(data) // SMALLEST_FRAME_BYTES
    for size in (1, 1 + len(data) % 7):
        assert _received_in_pieces(data, size) == (received, load)


def check_frames(recipe: bytes) -> None:
    """Make masked frames of any bytes, so that most get past the header, and feed those."""
    check_stream(frames_of(recipe))


def frames_of(recipe: bytes) -> bytes:
    """Read a recipe: first header byte, payload size, payload; again and again.

    A size of 255 announces a length above the limit, one of 254 a length in too many bytes.
    """
    frames = []
    at = 0
    while at + 2 <= len(recipe):
        first, size = recipe[at], recipe[at + 1]
        payload = recipe[at + 2 : at + 2 + size]
        if size == 255:
            frames.append(bytes((first,)) + client_length(1 << 40))
        else:
            length_bytes = 2 if size == 254 else None
            frames.append(
                client_frame(
                    first & 0x0F,
                    payload,
                    last=first >= 0x80,
                    reserved=(first & 0x70) >> 4,
                    mask=payload[:4].ljust(4, b"\x5a"),
                    length_bytes=length_bytes,
                )
            )
        at += 2 + size
    return b"".join(frames)


def _received_in_pieces(data: bytes, size: int) -> tuple[list[Received], int]:
    """Give what was received and what it counts for: neither depends on how it was cut."""
    parser = Parser(MAX_MESSAGE_BYTES)
    received, load = [], 0
    for piece in chopped(data, size):
        received += parser.feed(piece)
        load += parser.load
    return received, load


def _check_item(item: Received) -> None:
    """Every item is within the limits, and can be answered as a server answers it."""
    match item:
        case str():
            assert len(item.encode()) <= MAX_MESSAGE_BYTES
            assert text_frame(item.encode())
        case bytes():
            assert len(item) <= MAX_MESSAGE_BYTES
            assert binary_frame(item)
        case Ping(payload) | Pong(payload):
            assert len(payload) <= 125
            assert pong_frame(payload)
        case Close(code, reason) | Failure(code, reason):
            assert close_frame(code, reason)
