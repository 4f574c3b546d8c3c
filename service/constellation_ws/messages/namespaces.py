"""The namespaces that are served, and how their rooms are told apart. Pure.

All namespaces share one index of rooms, one log and one set of commands. There a room of the
default namespace, the first of the table, is called by its name; that of another namespace begins
with that namespace and a comma, as Socket.IO writes them in a packet: `/orders,order:17`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NewType

from constellation_ws.messages.events import (
    NAMESPACE,
    MalformedEvent,
    Room,
    UserId,
    user_room,
)

Scope = NewType("Scope", str)
"""What the names of a namespace's rooms begin with; empty for the default namespace."""

DEFAULT_SCOPE = Scope("")
ROOT = "/"
"""The namespace of whoever names none, in Socket.IO."""


class Namespaces:
    """The names of the namespaces that clients may connect to."""

    def __init__(self, names: Sequence[str] = (NAMESPACE,)) -> None:
        """The first one is the default; each begins with a slash and has no comma."""
        self.default = names[0]
        self.scopes = {name: Scope(f"{name},") for name in names} | {names[0]: DEFAULT_SCOPE}
        self._others = tuple(filter(None, self.scopes.values()))

    def __contains__(self, name: object) -> bool:
        return name in self.scopes

    def scope(self, name: str) -> Scope:
        """Give what the names of its rooms begin with. Raises KeyError for an unknown namespace."""
        return self.scopes[name]

    def rooms(self, scope: Scope, names: Iterable[str]) -> tuple[Room, ...]:
        """Name rooms that a service or an emitter names in one namespace.

        Raises MalformedEvent where a name for the default namespace is that of another's room.
        """
        rooms = scoped(scope, names)
        if not scope and self._others and any(room.startswith(self._others) for room in rooms):
            raise MalformedEvent("a room of another namespace")
        return rooms


def scope_of(own_room: str) -> Scope:
    """Give the scope of a member's own room: a sid has no slash, a scope begins with one."""
    return Scope(f"{own_room.partition(',')[0]},") if own_room[:1] == "/" else DEFAULT_SCOPE


def scoped(scope: Scope, rooms: Iterable[str]) -> tuple[Room, ...]:
    """Name rooms of a namespace as the whole gateway names them."""
    return tuple(Room(scope + room) for room in rooms)


def everyone(scope: Scope) -> tuple[Room, ...] | None:
    """Name everyone in a namespace; None stands for everyone in the default one."""
    return (Room(scope),) if scope else None


def standing_rooms(scope: Scope, user: UserId) -> list[str]:
    """Name the rooms that a member is in from its connect to its end.

    These are its user's, if it has one, and, except in the default namespace, that of everyone in
    the namespace, which is called by the scope alone.
    """
    return [*([scope] if scope else ()), *([scope + user_room(user)] if user else ())]


DEFAULT_NAMESPACES = Namespaces()
"""Those of the contract."""


@lru_cache(maxsize=64)  # of namespaces of the table
def packet_prefix(namespace: str) -> bytes:
    """Write a namespace as it stands in a packet; `/` is left out there."""
    return b"" if namespace == ROOT else b"%b," % namespace.encode()
