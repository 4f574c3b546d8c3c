"""What has to be true of NestJS' framing whatever a peer writes to the TCP port.

Not here: where the bytes come from.
"""

import json

from constellation_ws.nest.framing import (
    FrameDecoder,
    FramingError,
    FramingFault,
    answer,
    failure,
    no_message_handler,
    read_packet,
)
from tests.websocket_frames import chopped

MAX_FRAME_BYTES = 300


def check(data: bytes) -> None:
    """Take any bytes as a stream, and as one text. AssertionError where a promise is broken."""
    check_stream(data)
    text = data.decode(errors="replace")
    units = len(text.encode("utf-16-le")) // 2
    check_stream(b"%d#%b" % (units, text.encode()))
    check_text(text.encode())


def check_stream(data: bytes) -> None:
    """Cut a stream: the same texts and the same fault, at once and in pieces."""
    texts, fault = cut(data, len(data) or 1)
    for size in (1, 1 + len(data) % 7):
        assert cut(data, size) == (texts, fault)
    assert sum(map(len, texts)) <= len(data)
    for text in texts:
        assert len(text) <= MAX_FRAME_BYTES
        check_text(text)


def cut(data: bytes, size: int) -> tuple[list[bytes], FramingFault | None]:
    """Feed a decoder in pieces of a size; give its texts and where it gave up."""
    decoder = FrameDecoder(MAX_FRAME_BYTES)
    texts: list[bytes] = []
    try:
        for piece in chopped(data, size):
            texts.extend(decoder.feed(piece))  # which keeps what came before a fault
    except FramingError as error:
        return texts, error.fault
    return texts, None


def check_text(text: bytes) -> None:
    """Read a packet, and answer it in every way: each answer is one frame with the same id."""
    try:
        packet = read_packet(text)
    except FramingError:
        return
    assert packet.pattern is None or isinstance(packet.pattern, str)
    if packet.id is None:
        return
    # Not msgspec's: an id of 1e400 is JSON, and goes back as it came.
    sent = json.loads(packet.id)
    for frame in (
        answer(packet.id, {"success": True, "data": packet.pattern}),
        failure(packet.id),
        no_message_handler(packet.id),
    ):
        assert _only_text(frame)["id"] == sent


def _only_text(frame: bytes) -> dict[str, object]:
    assert frame.isascii()
    length, _, text = frame.partition(b"#")
    assert int(length) == len(text)
    value: dict[str, object] = json.loads(text)
    return value
