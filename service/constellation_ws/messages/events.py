"""Words of the domain, and bytes -> event.

An event is decoded only as far as routing needs. Every value stays a raw slice of the publisher's
JSON, so that 64-bit ids, floats and escapes leave as they came. Nothing here knows who gets what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NewType

import msgspec

from constellation_ws.messages.ids import JSON

UserId = NewType("UserId", str)
ChatId = NewType("ChatId", str)
Room = NewType("Room", str)
EventName = NewType("EventName", str)
Sid = NewType("Sid", str)

NAMESPACE = "/chats"

RESERVED_EVENTS = frozenset({"connect", "connect_error", "disconnect", "disconnecting"})
"""Names that Socket.IO keeps for itself: a client that is sent one drops its connection."""

UNSENDABLE_EVENTS = RESERVED_EVENTS | {"newListener", "removeListener", "__disconnect_final"}
"""Names of events that no port accepts.

The parsers of socket.io-client 4.0 to 4.8 refuse them as a parse error: the connection is closed,
and a client with recovery gets the event again after each resume. The last one is python-socketio's
own: it would call the application's handler of another event.
"""

MAX_ATTACHMENTS = 10
"""Most binary values in one packet: socket.io-parser hangs up on more."""

Slice = msgspec.Raw | msgspec.UnsetType
"""A value's JSON text exactly as published, or UNSET where the key is absent."""


class MalformedEvent(ValueError):
    """The message cannot be used; `str()` says why and never holds its text."""


class EventTooLarge(MalformedEvent):
    """What the message becomes is above the bound of an event, however short it was itself."""


class Fields(msgspec.Struct):
    """The listed keys of one event; `slices` makes a subclass for each set of keys.

    A msgspec struct and not a dataclass: one C call builds it, and the same struct encodes.
    """


def user_room(user: UserId) -> Room:
    """Name the room that holds all of a user's sockets, on every pod."""
    return Room(f"user:{user}")


def chat_room(chat: ChatId) -> Room:
    """Name the room that holds everyone who has joined a chat."""
    return Room(f"chat:{chat}")


def fields_of(keys: Iterable[str]) -> type[Fields]:
    """Make the struct that holds these keys, in this order; others are skipped while decoding."""
    rename = {f"key_{place}": key for place, key in enumerate(keys)}
    members = [(name, Slice, msgspec.UNSET) for name in rename]
    shape = msgspec.defstruct("EventFields", members, bases=(Fields,), rename=rename, gc=False)
    assert issubclass(shape, Fields)
    return shape


class Decoder:
    """Reads the events of one channel.

    Not for concurrent use, as nothing on an event loop is.
    """

    __slots__ = ("_decode", "_shape")

    def __init__(self, shape: type[Fields]) -> None:
        self._shape = shape
        self._decode = msgspec.json.Decoder(shape).decode

    def decode(self, raw: bytes) -> Fields:
        """Slice one message into its fields. Raises MalformedEvent."""
        try:
            if not raw.isascii():
                raw.decode()  # a text frame with bad UTF-8 would cost every recipient its socket
            return self._decode(raw)
        except UnicodeDecodeError as error:
            raise MalformedEvent("not UTF-8") from error
        except RecursionError as error:
            raise MalformedEvent("nested too deeply") from error
        except msgspec.ValidationError as error:
            raise MalformedEvent("not a JSON object") from error
        except msgspec.DecodeError:
            return self._decode_leniently(raw)

    def _decode_leniently(self, raw: bytes) -> Fields:
        """Decode what msgspec refuses but JSON allows: half of a surrogate pair.

        JavaScript writes `\\ud83d` when a text was cut inside an emoji. That costs no message.
        """
        try:
            slices = slice_object(raw.decode())
        except (ValueError, RecursionError) as error:
            raise MalformedEvent("not JSON") from error
        shape = self._shape
        names = zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True)
        return shape(**{name: slices[key] for name, key in names if key in slices})


def slice_object(text: str) -> Mapping[str, msgspec.Raw]:
    """Cut a JSON object into its values' texts. Raises ValueError where it is no JSON object."""
    slices: dict[str, msgspec.Raw] = {}
    at = _open(text, "{")
    while text[at : at + 1] != "}":
        key, at = _scan(text, at)
        at = _skip_space(text, at)
        if not isinstance(key, str) or text[at : at + 1] != ":":
            raise ValueError("no key")
        slices[key], at = _slice(text, at + 1, "}")
    _check_end(text, at)
    return slices


def slice_array(text: str) -> list[msgspec.Raw]:
    """Cut a JSON array into its values' texts. Raises ValueError where it is no JSON array."""
    slices: list[msgspec.Raw] = []
    at = _open(text, "[")
    while text[at : at + 1] != "]":
        value, at = _slice(text, at, "]")
        slices.append(value)
    _check_end(text, at)
    return slices


def _open(text: str, bracket: str) -> int:
    at = _skip_space(text, 0)
    if text[at : at + 1] != bracket:
        raise ValueError(f"no {bracket}")
    return _skip_space(text, at + 1)


def _slice(text: str, at: int, end: str) -> tuple[msgspec.Raw, int]:
    """Cut out one value, and give the place of the next one or of the end."""
    start = _skip_space(text, at)
    _, stop = _scan(text, start)
    at = _skip_space(text, stop)
    if text[at : at + 1] == ",":
        at = _skip_space(text, at + 1)
        if text[at : at + 1] == end:
            raise ValueError("a comma too many")
    elif text[at : at + 1] != end:
        raise ValueError("neither a comma nor the end")
    return msgspec.Raw(text[start:stop].encode()), at


def _check_end(text: str, at: int) -> None:
    if _skip_space(text, at + 1) != len(text):
        raise ValueError("text after the end")


def _scan(text: str, at: int) -> tuple[Any, int]:
    return JSON.raw_decode(text, at)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE:
        at += 1
    return at


_SPACE = frozenset(" \t\r\n")
