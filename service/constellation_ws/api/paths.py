"""Which template a path matches, and the values of its parameters. Pure.

Cut at slashes first and decoded then, so that an id may contain a slash, written as `%2F`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

Thing = TypeVar("Thing")


class BadPath(ValueError):
    """The path matches a template, and one of its parameters is not UTF-8."""


class Paths(Generic[Thing]):
    """Templates such as `/v1/users/{user}`, and what belongs to each."""

    def __init__(self, things: Mapping[str, Thing]) -> None:
        self._templates = [(template.split("/"), thing) for template, thing in things.items()]

    def find(self, raw_path: bytes) -> tuple[Thing, Mapping[str, str]] | None:
        """Find what belongs to a path as it was sent, and the values in it. Raises BadPath."""
        given = raw_path.decode("latin-1").split("/")
        for template, thing in self._templates:
            pairs = list(zip(template, given, strict=False))
            if len(template) == len(given) and all(_fits(*pair) for pair in pairs):
                return thing, {name[1:-1]: _decode(text) for name, text in pairs if _is_place(name)}
        return None


def _fits(name: str, text: str) -> bool:
    return bool(text) if _is_place(name) else name == text


def _is_place(name: str) -> bool:
    return name.startswith("{")


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise BadPath("a part of the path is not percent-encoded UTF-8") from error
