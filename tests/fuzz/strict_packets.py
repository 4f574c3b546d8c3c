"""Socket.IO packets as a strict client reads them: `isPacketValid` of socket.io-parser 4.2.

What the gateway sends must pass here. What it takes from clients is read more leniently, by
constellation_ws/socketio/packets.py.
"""

from __future__ import annotations

from typing import Any

from socketio import packet as sio

from constellation_ws.messages.events import MAX_ATTACHMENTS, RESERVED_EVENTS
from constellation_ws.socketio.packets import Json

_TEXT = {sio.BINARY_EVENT: sio.EVENT, sio.BINARY_ACK: sio.ACK}


class StrictPacket(sio.Packet):  # type: ignore[misc]  # python-socketio is untyped
    """A packet that is read where it is made. ValueError and its like where it is none."""

    packet_type: int

    json = Json

    def decode(self, encoded_packet: str) -> int:
        """Read a packet and say how many attachments follow."""
        attachments: int = super().decode(encoded_packet)
        assert attachments <= MAX_ATTACHMENTS, "socket.io-parser hangs up on more"
        assert bool(attachments) is (self.packet_type in _TEXT)
        assert _is_well_formed(_TEXT.get(self.packet_type, self.packet_type), self.data)
        return attachments


def _is_well_formed(kind: int, data: Any) -> bool:
    match kind:
        case sio.CONNECT:
            return data is None or isinstance(data, dict)
        case sio.DISCONNECT:
            return data is None
        case sio.EVENT:
            is_named = isinstance(data, list) and bool(data) and isinstance(data[0], str)
            return is_named and data[0] not in RESERVED_EVENTS
        case sio.ACK:
            return isinstance(data, list)
    return False
