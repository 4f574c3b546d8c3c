"""`types` of a row: which JSON type a key must have, and whether a value fits. Pure.

A value is judged by its JSON text as it came, mostly by the first byte: nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import UNSET

from constellation_ws.messages import ids
from constellation_ws.messages.events import Slice

NULLABLE = "?"
"""Ends a type whose value may be null or absent."""


def _begins_with(signs: bytes) -> Callable[[msgspec.Raw], bool]:
    starts = frozenset(signs)
    return lambda raw: memoryview(raw)[0] in starts


_CHECKS: Mapping[str, tuple[str, Callable[[msgspec.Raw], bool]]] = {
    "string": ("a string", _begins_with(b'"')),
    "number": ("a number", _begins_with(b"-0123456789")),
    "boolean": ("true or false", _begins_with(b"tf")),
    "id": ("an id", lambda raw: ids.read_id(raw) is not None),
    "list": ("a list", _begins_with(b"[")),
    "object": ("an object", _begins_with(b"{")),
}

NAMES = tuple(_CHECKS)
"""The types that there are, each also with `?`."""

_is_null = _begins_with(b"n")


def is_known(name: str) -> bool:
    """Return whether there is a type of this name."""
    return name.removesuffix(NULLABLE) in _CHECKS


class Types:
    """The compiled `types` of one row."""

    __slots__ = ("_checks", "keys")

    def __init__(self, types: Mapping[str, str]) -> None:
        """`types` must have been checked."""
        self.keys = tuple(types)
        self._checks = [
            (key, *_CHECKS[name.removesuffix(NULLABLE)], name.endswith(NULLABLE))
            for key, name in types.items()
        ]

    def misfit(self, values: Iterable[Slice]) -> str | None:
        """Say which value does not fit, without the value itself; None where all do.

        `values` are those of `keys`, in that order, UNSET where one is absent.
        """
        for (key, words, fits, is_nullable), raw in zip(self._checks, values, strict=True):
            if raw is UNSET or _is_null(raw):
                if not is_nullable:
                    return f"{key} must be {words}, and is absent or null"
            elif not fits(raw):
                return f"{key} must be {words}{' or null' if is_nullable else ''}"
        return None
