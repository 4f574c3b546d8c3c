"""TOML -> rows, each with its place; every fault of the form is collected, none ends the reading.

What a single key may hold is checked here; what rows mean together is checked by `checks`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from constellation_ws.interface.rows import (
    BackendRow,
    NamespaceRow,
    Removal,
    RequestRow,
    RouteRow,
)

_R = TypeVar("_R", NamespaceRow, BackendRow, RequestRow, RouteRow)

DEFAULT = "default"
"""What `extends` may name."""
_DEFAULT_FILE = "default.toml"
_SECTIONS = ("namespace", "backend", "request", "route")
_TAKES: Mapping[Any, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    tuple[str, ...]: "a list of strings",
    dict[str, str]: 'a table such as { orderId = "id" }',
    Removal | None: 'a table such as { who = "user:{userId}", from = "chat:{chatId}" }',
}
_LONGEST_NAME_CHARS = 100


class Placed(NamedTuple, Generic[_R]):
    """A row, and where it is."""

    place: str
    row: _R


class Reader:
    """Collects the rows of one or more files, and what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.namespaces: list[Placed[NamespaceRow]] = []
        self.backends: list[Placed[BackendRow]] = []
        self.requests: list[Placed[RequestRow]] = []
        self.routes: list[Placed[RouteRow]] = []
        self.named: dict[str, list[str]] = {"namespace": [], "backend": []}
        """Every name that a row of the kind has, also where the rest of the row is faulty."""
        self.unreadable: set[str] = set()
        """Sections with a row that could not be read."""
        self.is_complete = True
        """Whether every file could be read: else what rows name may be in one that could not."""

    def add_default(self) -> None:
        """Add the rows of the default table."""
        package = resources.files("constellation_ws.interface")
        self._add(tomllib.loads(package.joinpath(_DEFAULT_FILE).read_text()), _DEFAULT_FILE)

    def add_interface(self, file: Path) -> None:
        """Add the rows of a table, after those of the table that it extends."""
        document = self._document(file)
        extended = document.pop("extends", None)
        if extended == DEFAULT:
            self.add_default()
        elif extended is not None:
            self.faults.append(f'{file}: extends must be "{DEFAULT}": there is no other table')
        self._add(document, str(file))

    def add_routes(self, file: Path) -> None:
        """Add the rows of a file that holds only routes."""
        document = self._document(file)
        if document.keys() - {"route"}:
            self.faults.append(f"{file} must hold [[route]] entries and nothing else")
        self._add({key: document[key] for key in document if key == "route"}, str(file))

    def _document(self, file: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{file} cannot be read: {error}")
        except (ValueError, RecursionError) as error:
            self.faults.append(f"{file} is not TOML: {error}")
        self.is_complete = False
        return {}

    def _add(self, document: Mapping[str, Any], source: str) -> None:
        for key in document.keys() - set(_SECTIONS):
            known = "extends, [[namespace]], [[backend]], [[request]] and [[route]]"
            self.faults.append(f"{source}: {shown(key)} is not known; a table has {known}")
        self.namespaces += self._rows(document, "namespace", NamespaceRow, source)
        self.backends += self._rows(document, "backend", BackendRow, source)
        self.requests += self._rows(document, "request", RequestRow, source)
        self.routes += self._rows(document, "route", RouteRow, source)

    def _rows(
        self, document: Mapping[str, Any], section: str, shape: type[_R], source: str
    ) -> Iterator[Placed[_R]]:
        found = document.get(section, [])
        if not isinstance(found, list):
            self.faults.append(f"{source}: {section} must be written as [[{section}]]")
            return
        for number, raw in enumerate(found, 1):
            place = f"{source}, {section} {number}"
            if not isinstance(raw, dict):
                self.faults.append(f"{place} must be a table of its own: [[{section}]]")
                continue
            yield from self._row(raw, section, shape, place)

    def _row(
        self, raw: Mapping[str, Any], section: str, shape: type[_R], place: str
    ) -> Iterator[Placed[_R]]:
        fields = msgspec.structs.fields(shape)
        name_key = fields[0].encode_name
        name = raw.get(name_key) or f"no {name_key}"
        place = f"{place} ({shown(name) if isinstance(name, str) else name_key})"
        if section in self.named and isinstance(name, str):
            self.named[section].append(name)
        faults = list(_faults(raw, fields))
        self.faults.extend(f"{place}: {fault}" for fault in faults)
        if faults:
            self.unreadable.add(section)
        else:
            yield Placed(place, msgspec.convert(raw, shape))


def shown(name: str) -> str:
    """Write a name for a fault: on one line, and not too long."""
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= _LONGEST_NAME_CHARS else f"{name[:_LONGEST_NAME_CHARS]}..."


def closest(name: str, known: Sequence[str]) -> str:
    """Suggest what was perhaps meant; empty where nothing is similar."""
    return next((f"; did you mean {shown(one)}?" for one in get_close_matches(name, known, 1)), "")


def _faults(raw: Mapping[str, Any], fields: tuple[FieldInfo, ...]) -> Iterator[str]:
    known = {field.encode_name: field for field in fields}
    for key in raw:
        if key not in known:
            yield f"{shown(key)} is not known{closest(key, list(known)) or _all(known)}"
    for key, field in known.items():
        if key not in raw:
            if field.required:
                yield f"{key} is missing"
            continue
        try:
            msgspec.convert(raw[key], field.type)
        except msgspec.ValidationError as error:
            yield f"{key} must be {_takes(field.type)}{_detail(field, error)}"


def _all(known: Mapping[str, object]) -> str:
    return f"; the keys are {', '.join(known)}"


def _takes(kind: Any) -> str:
    choices = [one for part in (kind, *get_args(kind)) for one in _choices(part)]
    return " or ".join(f'"{one}"' for one in choices) or _TAKES[kind]


def _choices(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _detail(field: FieldInfo, error: msgspec.ValidationError) -> str:
    return f": {error}" if field.type == Removal | None else ""
