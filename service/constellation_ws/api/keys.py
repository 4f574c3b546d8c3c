"""Who may call the HTTP API, and for what: keys and their scopes. Decisions only."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

MIN_KEY_CHARS, MAX_KEY_CHARS = 16, 1_024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What RFC 6750 permits in a bearer token. Neither of the separators is among it."""


class Scope(StrEnum):
    """What a key permits."""

    PUBLISH = "publish"
    SEND = "send"
    READ = "read"
    ROOMS = "rooms"


EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller. Its key is not kept, so that nothing can show it."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


class Keys:
    """All callers."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys)

    def find(self, presented: str) -> ApiKey | None:
        """Find whose key this is; how long that takes does not depend on the keys."""
        digest, found = _digest(presented), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def read_keys(text: str) -> Keys:
    """Read entries `name:key` or `name:key:scope+scope`, separated by commas, without `faults`."""
    return Keys(_read_entry(entry) for entry in _entries(text))


def faults(text: str) -> Iterator[str]:
    """Say in a line each what is wrong with the entries.

    Lines name entries by their place alone: what was taken for a name may be a key.
    """
    names, keys = dict[str, int](), dict[bytes, int]()
    for place, entry in enumerate(_entries(text), 1):
        fault = _fault(entry)
        if fault is not None:
            yield f"entry {place} {fault}"
            continue
        read = _read_entry(entry)
        for what, first in (
            ("name", names.setdefault(read.name, place)),
            ("key", keys.setdefault(read.digest, place)),
        ):
            if first != place:
                yield f"entries {first} and {place} have the same {what}: use one for each caller"


def _fault(entry: str) -> str | None:
    parts = entry.split(":")
    if len(parts) not in (2, 3):
        return "is not name:key or name:key:scope+scope"
    name, key, *scopes = parts
    if not _NAME.fullmatch(name):
        return "has no name of 1 to 64 letters, digits, dots, hyphens and underscores"
    if not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS:
        return (
            f"has a key of {len(key)} characters; {MIN_KEY_CHARS} to {MAX_KEY_CHARS:,} are "
            "required. Generate one, for example with `openssl rand -hex 32`"
        )
    if not _KEY.fullmatch(key):
        return "has a key with characters other than letters, digits and . _ ~ + / = -"
    if scopes and not set(scopes[0].split("+")) <= EVERYTHING:
        return f"has an unknown scope; scopes are {', '.join(Scope)}, joined by +"
    return None


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")]


def _read_entry(entry: str) -> ApiKey:
    name, key, *scopes = entry.split(":")
    granted = frozenset(map(Scope, scopes[0].split("+"))) if scopes else EVERYTHING
    return ApiKey(name, _digest(key), granted)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
