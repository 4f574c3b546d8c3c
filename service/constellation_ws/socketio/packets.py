"""Socket.IO packets: what is one, and what is none.

What is no packet ends its connection, as with the reference server: an unknown type, a payload that
is no JSON or does not fit its type. A lawful packet never does, whatever its arguments are: its
client may wait for an acknowledgement. So an event's name is read leniently here (`event_of`), and
whoever handles events says that there is no such one.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

import msgspec
from socketio import packet as sio

from constellation_ws.messages import ids
from constellation_ws.messages.events import RESERVED_EVENTS

BINARY = (sio.BINARY_EVENT, sio.BINARY_ACK)
EVENTS = (sio.EVENT, sio.BINARY_EVENT)

MAX_ATTACHMENTS = 1_000
"""What a packet may announce. How many of them are kept is bounded by their size."""
# Type, attachments, namespace and ack id. What follows is JSON, or nothing.
_HEAD = re.compile(r"([0-6])(?:([0-9]{1,10})-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{0,100})")
_SERVERS_OWN = str(sio.CONNECT_ERROR)
# What python-socketio would take for something else than the name of an event.
_KEPT = RESERVED_EVENTS | {"*", "__disconnect_final"}
_NAMELESS = ""


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
            # JSON that msgspec refuses: half a surrogate pair, whole numbers of many digits.
            return ids.loads(text)

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Write compact JSON, whatever style python-socketio asks for."""
        try:
            return msgspec.json.encode(value).decode()
        except (UnicodeEncodeError, OverflowError):
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
    """A packet to be written. Those that clients send are read by the functions below."""

    json = Json


class Head(msgspec.Struct, frozen=True, gc=False):
    """What a packet says before its payload: all that is needed to refuse it.

    A msgspec struct, as one is made for each packet: a tuple with names takes twice as long.
    """

    kind: int
    attachments: int
    """How many follow."""
    namespace: str
    ack_id: int | None
    payload_at: int


def read_head(text: str) -> Head:
    """Read the beginning of a packet and nothing of its payload. Raises BadPacket."""
    match = _HEAD.match(text)
    if match is None or text[0] == _SERVERS_OWN:
        raise BadPacket("not a Socket.IO packet")
    kind, attachments, namespace, ack_id = match.groups()
    head = Head(
        int(kind),
        int(attachments or 0),
        namespace.partition("?")[0] if namespace else "/",
        int(ack_id) if ack_id else None,
        match.end(),
    )
    if (attachments is None) is (head.kind in BINARY) or head.attachments > MAX_ATTACHMENTS:
        raise BadPacket("attachments where there are none, or the other way round")
    return head


def read_payload(head: Head, text: str) -> Any:
    """Read what follows the head. Raises BadPacket where it is no JSON or not of its type."""
    payload = text[head.payload_at :]
    if head.kind == sio.DISCONNECT:
        if payload:
            raise BadPacket("a payload where there is none")
        return None
    try:
        data = Json.loads(payload) if payload else None
    except RecursionError:
        # Lawful, for all we know, and of no use to anybody.
        if head.kind not in EVENTS:
            raise BadPacket("nested too deeply") from None
        return []
    except ValueError as error:
        raise BadPacket("a payload that is no JSON") from error
    # As `isPayloadValid` of socket.io-parser 4.2, also strict about the names of events, and
    # about CONNECT: the reference server closes the connection of a client with `auth: token`,
    # which reconnects forever and never learns why. Here it is refused where clients are
    # identified.
    if head.kind != sio.CONNECT and not isinstance(data, list):
        raise BadPacket("a payload that does not fit its packet's type")
    return data


def event_of(data: list[Any]) -> list[Any]:
    """Give an event's name and arguments; what is no name for us becomes that of no event.

    A number is a name in JavaScript. Names that Socket.IO keeps for itself, an empty array and
    whatever else stands first make an event that nobody knows, which is acknowledged as such.
    """
    name = data[0] if data else _NAMELESS
    if isinstance(name, int | float) and not isinstance(name, bool):
        name = Json.dumps(name)
    elif not isinstance(name, str) or name in _KEPT:
        name = _NAMELESS
    return [name, *data[1:]]


def fill(data: Any, attachments: list[bytes]) -> Any:
    """Put attachments where their placeholders are, and null where there is none for one.

    Nesting that is too deep for it leaves nothing, as in `read_payload`.
    """
    try:
        return _fill(data, attachments)
    except RecursionError:
        return []


def _fill(data: Any, attachments: list[bytes]) -> Any:
    if isinstance(data, list):
        return [_fill(item, attachments) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("_placeholder") is True:
        number = data.get("num")
        if type(number) is int and 0 <= number < len(attachments):
            return attachments[number]
        return None
    return {key: _fill(item, attachments) for key, item in data.items()}


def connect_packet(namespace: str, answer: dict[str, str]) -> str:
    """Write what tells a client that it is connected, in a seventh of the time upstream takes."""
    name = "" if namespace == "/" else f"{namespace},"
    return f"0{name}{Json.dumps(answer)}"
