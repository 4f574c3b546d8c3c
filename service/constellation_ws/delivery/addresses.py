"""The addresses of an event, read without the rest of it: most events concern nobody on this pod.

Pure. `routes` decides what is sent; this only says whom it could reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from constellation_ws.interface import templates
from constellation_ws.interface.rows import RouteRow
from constellation_ws.messages.ids import Id
from constellation_ws.messages.namespaces import Scope

_Value = Id | list[Id] | None | UnsetType
Target = tuple[str, Callable[[Any], Any]]
"""A room template: a fixed prefix, and how to read the value whose ids complete it.

A bare tuple: one with names is unpacked at half the speed.
"""


def are_decisive(row: RouteRow) -> bool:
    """Return whether an event of this route concerns nobody here if its rooms are empty here."""
    return not (row.empties or row.removes or row.unless_empty or row.types)


class Addresses:
    """Reads whom the events of one route address."""

    __slots__ = ("_decode", "_except", "_to")

    def __init__(self, row: RouteRow, scope: Scope) -> None:
        """`row` must have been checked; names of rooms begin with `scope`."""
        attributes = {key: f"key_{n}" for n, key in enumerate(dict.fromkeys(row.template_keys()))}
        shape = msgspec.defstruct(
            "Addresses",
            [(name, _Value, UNSET) for name in attributes.values()],
            rename={name: key for key, name in attributes.items()},
            gc=False,
        )
        self._decode = msgspec.json.Decoder(shape).decode
        self._to = targets_of(row.to, attributes, scope)
        self._except = targets_of((row.except_,) if row.except_ else (), attributes, scope)

    def rooms(self, raw: bytes) -> Sequence[str] | None:
        """Name the rooms of an event; None where only `Route.route` can say what it is."""
        try:
            if not raw.isascii():
                raw.decode()
            fields = self._decode(raw)
        except (UnicodeDecodeError, RecursionError, msgspec.DecodeError):
            return None
        rooms = _rooms(self._to, fields)
        return rooms or None if not self._except or _rooms(self._except, fields) else None


def targets_of(texts: Iterable[str], attributes: Mapping[str, str], scope: Scope) -> list[Target]:
    """Compile room templates; `attributes` has that of each key in what is read."""
    return [
        (scope + prefix, attrgetter(attributes[key]))
        for prefix, key in map(templates.split_checked, texts)
    ]


def _rooms(targets: list[Target], fields: Any) -> list[str]:
    rooms: list[str] = []
    for prefix, read in targets:
        found = read(fields)
        if isinstance(found, list):
            rooms.extend([f"{prefix}{one}" for one in found])
        elif found is not UNSET and found is not None and found != "":
            rooms.append(f"{prefix}{found}")
    return rooms
