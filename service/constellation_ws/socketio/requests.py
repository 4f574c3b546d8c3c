"""Requests that are answered behind others: as they come off the wire, and how an ack goes out."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from constellation_ws.messages.events import slice_array
from constellation_ws.messages.namespaces import packet_prefix
from constellation_ws.socketio.packets import Head, Json

_NULL = Raw(b"null")
_slice = msgspec.json.Decoder(list[Raw]).decode


def first_argument(head: Head, text: str) -> Raw:
    """Cut the first argument behind the name out of an event that has been read already."""
    payload = text[head.payload_at :]
    try:
        values = _slice(payload)
    except msgspec.DecodeError:
        values = slice_array(payload)  # half of a surrogate pair
    return values[1] if len(values) > 1 else _NULL


def ack_packet(namespace: str, ack_id: int, answer: object) -> str:
    """Write an acknowledgement with one argument."""
    return f"3{packet_prefix(namespace).decode()}{ack_id}[{Json.dumps(answer)}]"
