"""Which JSON values are ids of users, chats and rooms, and how they are written as text. Pure.

One rule for all ports, so that a publisher's number and a client's number name the same room:

- a string that is not empty is an id as it is;
- a number is an id if its value is whole, and counts as its decimal digits: `1.0` and `1e0` are
  `1`, `-0` is `0`. Numbers are read as JavaScript reads them, with one exception: an integer that
  is written in digits keeps all of them, since ids may have 64 bits and a double has 53;
- everything else is no id: `1.5`, what JavaScript reads as Infinity (`1e400`, 5,000 digits),
  booleans, null, lists and objects. So is a string that UTF-8 cannot encode (half of a surrogate
  pair).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

_TOO_LARGE = 1 << 1024
"""The first power of two that is no double: JavaScript reads it as Infinity."""
_MAX_DIGITS = 309
"""Of the largest double. `int()` of thousands of digits is slow, and refused above 4,300."""
_EXACT = 2.0**53

Id = str | int
"""An id as msgspec decodes it in the usual case."""

decode_ids = msgspec.json.Decoder(Id | list[Id] | None).decode
"""The fast path of `read_ids`. Raises msgspec.DecodeError for whatever needs the slow one."""


class Ids(NamedTuple):
    """The ids in one value, which may be a list."""

    ids: list[str]
    invalid: int
    """How many elements of the list are no ids; 1 for a single value that is none."""
    is_list: bool

    def value(self) -> list[str] | str | None:
        """Give the value without what is no id; None where nothing else was there."""
        if self.is_list and (self.ids or not self.invalid):
            return self.ids
        return self.ids[0] if self.ids else None


def id_of(value: object) -> str | None:
    """Write a decoded JSON value as an id; None if it is none."""
    if isinstance(value, str):
        return value if value and _is_utf8(value) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if -_TOO_LARGE < value < _TOO_LARGE else None
    if isinstance(value, float) and value.is_integer():  # False for infinity
        # `repr` gives the digits that JavaScript prints; `int` of a large float gives others.
        return str(int(value if abs(value) < _EXACT else Decimal(repr(value))))
    return None


def read_id(raw: msgspec.Raw) -> str | None:
    """Read one id from JSON text; None if it is none."""
    return id_of(_parse(raw))


def read_ids(raw: msgspec.Raw) -> Ids | None:
    """Read one id, or a list of ids, from JSON text; None for null and the empty string.

    An element that is no id costs itself only.
    """
    try:
        found: Any = decode_ids(raw)
    except msgspec.DecodeError:
        found = _parse(raw)
    return ids_of(found)


def ids_of(found: Any) -> Ids | None:
    """Write a decoded value as ids, as `read_ids` does."""
    if found is None or found == "":
        return None
    is_list = isinstance(found, list)
    values = found if is_list else [found]
    ids = [one for value in values if (one := id_of(value)) is not None]
    return Ids(ids, len(values) - len(ids), is_list)


def loads(text: str) -> Any:
    """Decode JSON as JavaScript does, where msgspec refuses it. Raises ValueError, RecursionError.

    msgspec refuses half of a surrogate pair, which JavaScript writes when a text was cut inside an
    emoji, and numbers beyond the range of a double.
    """
    return JSON.decode(text)


def _parse(raw: msgspec.Raw) -> Any:
    try:
        return loads(bytes(raw).decode())
    except (ValueError, RecursionError):
        return ()  # no id


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS + 1 else float(digits)  # the sign is one more


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


JSON = json.JSONDecoder(parse_int=_whole_number, parse_constant=_refuse_constant)
"""Decodes what `loads` decodes. Integers beyond the range of a double become infinite floats."""
