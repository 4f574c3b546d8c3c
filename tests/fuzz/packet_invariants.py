"""What has to be true of what a client may write: polling payloads and Socket.IO packets.

Not here: where the bytes come from.
"""

from typing import Any

from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, EVENT

from constellation_ws.engine.polls import decode_payload
from constellation_ws.socketio.incomplete import Incomplete
from constellation_ws.socketio.packets import (
    BINARY,
    EVENTS,
    MAX_ATTACHMENTS,
    BadPacket,
    Head,
    Packet,
    _finite,
    event_of,
    fill,
    read_head,
    read_payload,
)

SEPARATOR = "\x1e"
NEVER_HANDLED = ("connect", "disconnect", "*", "__disconnect_final")
"""Names under which python-socketio has handlers that are for nobody's events."""


def check(data: bytes) -> None:
    """Take any bytes as a polling payload, and as one packet. AssertionError for a fault."""
    check_payload(data)
    check_packet(data.decode(errors="replace"))


def check_payload(body: bytes) -> None:
    """Split a payload, and take each of its messages as a packet."""
    try:
        packets = decode_payload(body)
    except ValueError:
        return
    assert len(packets) == body.count(SEPARATOR.encode()) + 1
    assert sum(map(len, packets)) <= len(body)
    for packet in packets:
        if isinstance(packet, str):
            assert packet[0] in "134"
            check_packet(packet[1:])


def check_packet(text: str) -> None:
    """Read a packet: refused as BadPacket, or whole, and the same again when it is written."""
    try:
        head = read_head(text)
    except BadPacket:
        return
    assert head.namespace.startswith("/")
    assert head.ack_id is None or 0 <= head.ack_id < 10**100
    assert 0 <= head.attachments <= MAX_ATTACHMENTS
    assert bool(head.attachments) <= (head.kind in BINARY)
    assert 1 <= head.payload_at <= len(text)
    try:
        data = read_payload(head, text)
    except BadPacket:
        return
    data = _with_attachments(head, data)
    if head.kind in EVENTS:
        name, *arguments = event_of(data)
        assert isinstance(name, str)
        assert name not in NEVER_HANDLED
        assert arguments == data[1:]
    _check_round_trip(head, data)


def _with_attachments(head: Head, data: Any) -> Any:
    """A packet is complete with its last attachment, and not before."""
    if not head.attachments:
        return data
    packet = Incomplete(head, data, 0, is_refused=False)
    for left in reversed(range(head.attachments)):
        assert packet.take(b"attached") is (left == 0)
    assert packet.size == 8 * head.attachments
    return packet.filled()


def _check_round_trip(head: Head, data: Any) -> None:
    """What is read can be written, by python-socketio, and read again."""
    if head.kind == CONNECT and not isinstance(data, dict):
        return  # nobody writes that: it is read so that it can be refused
    kind = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}.get(head.kind, head.kind)
    written = Packet(kind, data, head.namespace, head.ack_id).encode()
    text, *attachments = written if isinstance(written, list) else [written]
    again = read_head(text)
    assert (again.ack_id, again.attachments) == (head.ack_id, len(attachments))
    assert again.namespace == head.namespace
    read = read_payload(again, text)
    if attachments:
        read = fill(read, attachments)
    # As text: 1e400 is JSON, infinite as in JavaScript, and as there it is written as null.
    assert repr(read) == repr(_finite(data))
