"""Values of JavaScript that emitters in Node publish as msgpack, as JSON and attachments. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from constellation_ws.messages.events import MalformedEvent

MAX_DEPTH = 100
"""Levels of lists and objects in an argument; what is read here by Python's own stack."""


class _Undefined:
    """JavaScript's undefined, as encoders before notepack.io 3 write it."""


_UNDEFINED = _Undefined()
_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that JSON has; msgspec writes NaN and the infinities as null, as JavaScript does."""


class Arguments:
    """What an event's arguments are in JSON, as a Socket.IO server in Node writes them."""

    def __init__(self) -> None:
        self.attachments: list[bytes] = []

    def write(self, value: Any, depth: int = 0) -> Any:
        """Give a value in JSON's types; binary ones become placeholders. Raises MalformedEvent."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if depth == MAX_DEPTH:
            raise MalformedEvent("nested too deeply")
        if kind is list:
            return [one if type(one) in _PLAIN else self.write(one, depth + 1) for one in value]
        if kind is dict:
            return {
                key if type(key) is str else _name(key): (
                    one if type(one) in _PLAIN else self.write(one, depth + 1)
                )
                for key, one in value.items()
                if one is not _UNDEFINED
            }
        if kind is bytes:
            self.attachments.append(value)
            return {"_placeholder": True, "num": len(self.attachments) - 1}
        return None if value is _UNDEFINED else _iso(value)


def _name(key: Any) -> str:
    """Name a property as JavaScript does. Raises MalformedEvent for what no encoder writes."""
    match key:
        case None:
            return "null"
        case bool():
            return "true" if key else "false"
        case int():
            return str(key)
        case bytes():
            return key.decode(errors="replace")
    raise MalformedEvent("a key that is no name")


def _iso(date: datetime) -> str:
    """Write a date as JavaScript's `toISOString` does."""
    return date.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_extension(code: int, data: memoryview) -> Any:
    """Read what msgpack has no type for, as notepack.io does; msgspec reads timestamps itself.

    Code 0 is of older encoders: undefined (1 byte), a Date (8) or an ArrayBuffer. Which of the
    msgpack forms it had is not known here, so an ArrayBuffer of 8 bytes is read as a Date.
    """
    content = data.tobytes()
    if code != 0:
        return [code, content]
    if content == b"\x00":
        return _UNDEFINED
    if len(content) == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(content, "big", signed=True))
    return content
