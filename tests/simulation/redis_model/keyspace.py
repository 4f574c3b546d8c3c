"""The keys of a Redis, their values and when they expire."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from tests.simulation.redis_model.replies import NOT_AN_INTEGER, WRONG_TYPE, Refusal

Value = TypeVar("Value")


class Keyspace:
    """All data of one Redis."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time in seconds."""
        self.clock = clock
        self.values: dict[bytes, Any] = {}
        self.expires: dict[bytes, int] = {}
        self.run_id = ""
        self.appended: set[bytes] = set()
        """Streams that were appended to since somebody looked."""
        self.published: list[tuple[bytes, bytes]] = []
        """What a script has published, before it is sent."""

    @property
    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    def find(self, key: bytes, kind: type[Value]) -> Value | None:
        """Give a value of this kind. Raises Refusal where the key has one of another kind."""
        if key in self.expires and self.expires[key] <= self.now_ms:
            self.delete(key)
        value = self.values.get(key)
        if value is not None and type(value) is not kind:
            raise Refusal(WRONG_TYPE)
        return value

    def open(self, key: bytes, kind: type[Value]) -> Value:
        """Give a value of this kind, a new one where there is none. Raises Refusal."""
        value = self.find(key, kind)
        if value is None:
            self.values[key] = value = kind()
        return value

    def exists(self, key: bytes) -> bool:
        if key in self.expires and self.expires[key] <= self.now_ms:
            self.delete(key)
        return key in self.values

    def delete(self, key: bytes) -> bool:
        """Delete a key; tell whether it was there."""
        self.expires.pop(key, None)
        return self.values.pop(key, None) is not None

    def drop_if_empty(self, key: bytes, value: Any) -> None:
        """Delete a collection that has lost its last element."""
        if not value:
            self.delete(key)

    def clear(self) -> None:
        self.values.clear()
        self.expires.clear()

    def count(self) -> int:
        """Count the keys that have not expired."""
        return sum(self.exists(key) for key in list(self.values))

    def snapshot(self) -> tuple[dict[bytes, Any], dict[bytes, int]]:
        """Copy all data."""
        return copy.deepcopy(self.values), dict(self.expires)

    def restore(self, snapshot: tuple[dict[bytes, Any], dict[bytes, int]]) -> None:
        """Go back to what was copied."""
        values, expires = snapshot
        self.values, self.expires = copy.deepcopy(values), dict(expires)


def integer(word: bytes) -> int:
    """Read an argument. Raises Refusal."""
    try:
        return int(word)
    except ValueError:
        raise Refusal(NOT_AN_INTEGER) from None
