"""Requests with half of a surrogate pair, such as `"\\ud83d"`: JSON, but no Unicode text. Pure.

JavaScript writes it when a text was cut inside an emoji (`text.slice(0, 80)`), and msgspec refuses
it. Payloads are carried as they were written, as those that are published on Redis are. A name with
it is refused: with U+FFFD instead, as UTF-8 encoders write it, different rooms would be one room.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from constellation_ws.messages import ids
from constellation_ws.messages.events import slice_object

_CARRIED = "data"
_FOR_PEOPLE = "reason"
"""A text that is only logged: a user must be disconnected also where it was cut."""
# Takes escapes whole and in order, so that the second half of `\\ud800` is not mistaken for one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class HalfPair(ValueError):
    """Another value than the payload holds half of a surrogate pair; `str()` says which."""


def read_request(text: str, shape: Any) -> Any:
    """Read an object as a struct, its `data` as written.

    Raises HalfPair, msgspec.ValidationError where it has another shape, other ValueErrors where it
    is no JSON object, and RecursionError.
    """
    given = slice_object(text)
    read = msgspec.json.decode(repaired(text.encode()), type=shape)
    for name in read.__struct_fields__:
        if name in given and name not in (_CARRIED, _FOR_PEOPLE) and _has_half(given[name]):
            raise HalfPair(
                f"`{name}` holds half of a surrogate pair, as a text does that was cut inside an "
                "emoji; send whole characters there"
            )
    is_carried = _CARRIED in given and _CARRIED in read.__struct_fields__
    return msgspec.structs.replace(read, data=given[_CARRIED]) if is_carried else read


def read_value(text: bytes) -> msgspec.Raw:
    """Give the text of any JSON value. Raises msgspec.DecodeError, RecursionError."""
    try:
        return msgspec.Raw(bytes(msgspec.json.decode(text, type=msgspec.Raw)))
    except msgspec.DecodeError:
        try:
            ids.loads(text.decode())
        except (ValueError, RecursionError):
            pass  # msgspec says better where it ends to be JSON
        else:
            return msgspec.Raw(text.strip())
        raise


def repaired(text: bytes) -> bytes:
    """Put U+FFFD in place of each half, as every UTF-8 encoder does."""
    return _ESCAPE.sub(_without_half, text)


def _has_half(raw: msgspec.Raw) -> bool:
    return any(escape["lone"] for escape in _ESCAPE.finditer(bytes(raw)))


def _without_half(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["lone"] else escape[0]
