"""What has to be true of what a client may write: polling payloads and Socket.IO packets.

Not here: where the bytes come from.
"""

from service.engine.packets import BadPacket, Json, Packet, ack_id
from service.engine.polling import decode_payload

SEPARATOR = "\x1e"
MAX_ATTACHMENTS = 10


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
    number = ack_id(text)
    assert number is None or 0 <= number < 10**256
    packet = read(text)
    if packet is None:
        return
    assert packet.namespace is None or packet.namespace.startswith("/")
    assert packet.id is None or packet.id >= 0
    assert 0 <= packet.attachment_count <= MAX_ATTACHMENTS
    if packet.attachment_count:
        _check_attachments(packet)
    else:
        _check_round_trip(packet)


def read(text: str) -> Packet | None:
    """Read a packet as the engine does, which lets no empty one come so far."""
    try:
        return Packet(encoded_packet=text) if text else None
    except BadPacket:
        return None


def _check_attachments(packet: Packet) -> None:
    """A packet is complete with its last attachment, and not before; more are refused."""
    try:
        for left in reversed(range(packet.attachment_count)):
            assert packet.add_attachment(b"attached") is (left == 0)
    except BadPacket:
        return
    assert isinstance(packet.data, list)
    try:
        packet.add_attachment(b"too many")
    except BadPacket:
        return
    raise AssertionError("an attachment too many was taken")


def _check_round_trip(packet: Packet) -> None:
    again = read(Packet(packet.packet_type, packet.data, packet.namespace, packet.id).encode())
    assert again is not None
    assert (again.packet_type, again.id) == (packet.packet_type, packet.id)
    # As text: 1e400 is JSON, infinite as in JavaScript, and as there it is written as null.
    assert Json.dumps(again.data) == Json.dumps(packet.data)
    assert (again.namespace or "/") == (packet.namespace or "/")
