"""Socket.IO packets, read strictly: what does not fit its type is refused as a whole."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import msgspec
from socketio import packet as sio

from service import ids
from service.events import MAX_ATTACHMENTS, RESERVED_EVENTS

_TEXT = {sio.BINARY_EVENT: sio.EVENT, sio.BINARY_ACK: sio.ACK}
_BINARY = tuple(_TEXT)


class BadPacket(ValueError):
    """A client sent what is no Socket.IO v5 packet."""


class Json:
    """The JSON module that packets use: python-engineio's own makes a decoder for every packet."""

    @staticmethod
    def loads(text: str) -> Any:
        """Read JSON. Raises ValueError."""
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return ids.loads(text)

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Write compact JSON, whatever style python-socketio asks for."""
        try:
            return msgspec.json.encode(value).decode()
        except UnicodeEncodeError:
            # Half a surrogate pair, which `json` escapes; what is infinite it would write as such.
            return json.dumps(_finite(value), separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Put null for what is infinite, as msgspec and JavaScript do: 1e400 is JSON."""
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


class Packet(sio.Packet):  # type: ignore[misc]  # python-socketio is untyped
    """A packet whose shape is checked, as the reference implementation does."""

    packet_type: int

    json = Json

    def decode(self, encoded_packet: str) -> int:
        """Read a packet and say how many attachments follow. Raises BadPacket."""
        try:
            attachments: int = super().decode(encoded_packet)
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            raise BadPacket("not a Socket.IO packet") from error
        if not is_well_formed(self.packet_type, self.data, attachments):
            raise BadPacket("a packet whose payload does not fit its type")
        if not attachments and self.packet_type in _BINARY:
            if not encoded_packet.startswith("0-", 1):
                raise BadPacket("a binary packet that does not say how much follows")
            # Nothing follows: upstream would wait for it.
            self.packet_type = _TEXT[self.packet_type]
        return attachments

    def add_attachment(self, attachment: bytes) -> bool:
        """Take an attachment and say whether it was the last. Raises BadPacket."""
        try:
            is_last: bool = super().add_attachment(attachment)
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            raise BadPacket("a placeholder that stands for no attachment") from error
        return is_last

    @classmethod
    def reconstruct_binary(cls, data: Any, attachments: list[bytes]) -> Any:
        """Put attachments where their placeholders are. Raises IndexError and TypeError."""
        if isinstance(data, list):
            return [cls.reconstruct_binary(item, attachments) for item in data]
        if not isinstance(data, dict):
            return data
        if data.get("_placeholder") is True:
            number = data.get("num")
            if type(number) is not int or number < 0:  # Python counts those from the end
                raise IndexError(number)
            return attachments[number]
        return {key: cls.reconstruct_binary(item, attachments) for key, item in data.items()}


def is_well_formed(kind: int, data: object, attachments: int) -> bool:
    """Say whether a payload fits its packet type, see `isPacketValid` of socket.io-parser 4.2."""
    if attachments > MAX_ATTACHMENTS or (attachments and kind not in _BINARY):
        return False
    match kind:
        case sio.CONNECT:
            return data is None or isinstance(data, dict)
        case sio.DISCONNECT:
            return data is None
        case sio.EVENT | sio.BINARY_EVENT:
            return (
                isinstance(data, list)
                and bool(data)
                and isinstance(data[0], str)
                and data[0] not in RESERVED_EVENTS
            )
        case sio.ACK | sio.BINARY_ACK:
            return isinstance(data, list)
    return False


def connect_packet(namespace: str, answer: dict[str, str]) -> str:
    """Write what tells a client that it is connected, in a seventh of the time upstream takes."""
    name = "" if namespace == "/" else f"{namespace},"
    return f"0{name}{Json.dumps(answer)}"


def ack_id(text: str) -> int | None:
    """Find the ack id of an event packet without reading its payload."""
    header, bracket, _ = text[:256].partition("[")
    _, comma, digits = header.rpartition(",")
    if not comma:  # the main namespace is not named: the type, and how many attachments follow
        digits = header[1:].rpartition("-")[2]
    return int(digits) if bracket and digits.isdecimal() and digits.isascii() else None
