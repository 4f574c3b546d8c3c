"""What a client's request asks for: its rooms, read from what the client sent. Pure.

The decision of one `[[request]]`: handlers carry it out, and `explain` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from constellation_ws.interface import templates
from constellation_ws.interface.rows import RequestRow
from constellation_ws.interface.surroundings import CHAT_ROOM
from constellation_ws.interface.templates import Template
from constellation_ws.interface.value_types import Types
from constellation_ws.messages import ids
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import (
    ChatId,
    Decoder,
    MalformedEvent,
    Room,
    Slice,
    fields_of,
)

_BARE = frozenset(b'"-0123456789')
"""How a string or a number begins."""
_decode_pairs = json.JSONDecoder(object_pairs_hook=list, parse_int=float).decode
"""Decodes an object to its keys and values, with those that occur twice."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request names."""

    rooms: Sequence[Room]
    """Those of `joins` or `leaves`, in their order."""
    chats: Sequence[ChatId]
    """Those of the rooms that access is to be asked about."""
    in_room: Room | None
    """The room that the client must be in; None for no condition."""
    given: Mapping[str, msgspec.Raw]
    """The id of each key of a template, as the client wrote it."""


_NOTHING = Wanted(rooms=[], chats=[], in_room=None, given={})


class RequestReader:
    """Reads the requests of one row."""

    def __init__(self, row: RequestRow, max_id_chars: int) -> None:
        """`row` must have been checked."""
        self.row = row
        self._max_id_chars = max_id_chars
        self._rooms = [templates.split_checked(text) for text in (*row.joins, *row.leaves)]
        self._in_room = templates.split_checked(row.in_room) if row.in_room else None
        every = [*self._rooms, *((self._in_room,) if self._in_room else ())]
        self._templates: dict[str, Template] = {}
        for template in every:
            self._templates.setdefault(template.key, template)
        self._types = Types(row.types)
        self._keys = tuple(dict.fromkeys([*self._templates, *row.types]))
        self._decode = Decoder(fields_of(self._keys)).decode
        self._spellings = {key.casefold(): key for key in self._keys}
        self._quoted = [(key, b'"%b"' % key.casefold().encode()) for key in self._keys]

    def read(self, data: bytes) -> Wanted | Refusal:
        """Read the client's first argument, one JSON value; b"" where it sent none."""
        if not self._keys:
            return _NOTHING
        try:
            values = self._values(data)
            is_clear = not self.row.to or self._is_clear(data, values)
            unclear = None if is_clear else self._unclear(data)
        except MalformedEvent:
            return self._no_object()
        if unclear is not None:
            return Refusal("invalid_request", f"Send {unclear} once, in this spelling.")
        misfit = self._types.misfit([values[key] for key in self._types.keys])
        if misfit is not None:
            return Refusal("invalid_request", f"{misfit}.")
        found: dict[str, str] = {}
        for key, template in self._templates.items():
            one = self._id(values[key])
            if one is None:
                return self._no_id(template)
            found[key] = one
        return Wanted(
            [_complete(template, found) for template in self._rooms],
            [
                ChatId(found[template.key])
                for template in self._rooms
                if self.row.access == "chat" and template.prefix == CHAT_ROOM
            ],
            None if self._in_room is None else _complete(self._in_room, found),
            {key: raw for key in found if (raw := values[key]) is not UNSET},
        )

    def _values(self, data: bytes) -> Mapping[str, Slice]:
        if self.row.bare and data[:1] and data[0] in _BARE:
            return dict.fromkeys(self._keys, UNSET) | {self.row.bare: msgspec.Raw(data)}
        fields = self._decode(data)
        return dict(zip(self._keys, msgspec.structs.astuple(fields), strict=True))

    def _is_clear(self, data: bytes, values: Mapping[str, Slice]) -> bool:
        """Whether each key is certainly there once at most; `_unclear` takes ten times as long.

        It is where its name is in the text once, whatever it is there: without escapes and letters
        beyond ASCII no other spelling of it can be.
        """
        if b"\\" in data or not data.isascii():
            return False
        text = data.lower()
        return all(text.count(one) == (values[key] is not UNSET) for key, one in self._quoted)

    def _unclear(self, data: bytes) -> str | None:
        """Find a key whose value a backend may read from another place than it was checked at.

        The last of two is checked. Some JSON parsers take the first, and those of Go and .NET take
        a key in another case. Raises MalformedEvent.
        """
        try:
            pairs = _decode_pairs(data.decode())
        except RecursionError as error:
            raise MalformedEvent("nested too deeply") from error
        seen = set[str]()
        for name in (pair[0] for pair in pairs) if isinstance(pairs, list) else ():
            key = self._spellings.get(name.casefold())
            if key is not None and (name in seen or name not in self._keys):
                return key
            seen.add(name)
        return None

    def _id(self, raw: Slice) -> str | None:
        one = None if raw is UNSET else ids.read_id(raw)
        if one is None or len(one) > self._max_id_chars or not one.isprintable():
            return None
        return one

    def _no_object(self) -> Refusal:
        for template in self._templates.values():
            return self._no_id(template)
        return Refusal("invalid_request", f"Send an object with {', '.join(self._keys)}.")

    def _no_id(self, template: Template) -> Refusal:
        code = "invalid_chat" if template.prefix == CHAT_ROOM else "invalid_request"
        takes = f"a string of 1 to {self._max_id_chars} characters or a whole number"
        return Refusal(code, f"Send {{ {template.key} }}: {takes}.")


def _complete(template: Template, found: Mapping[str, str]) -> Room:
    return Room(f"{template.prefix}{found[template.key]}")
