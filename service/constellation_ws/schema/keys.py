"""Which keys a request or an event has, and of which type, as its row says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from constellation_ws.interface import templates
from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.interface.value_types import NULLABLE

ID = "id"
IDS, USERS = "ids", "users"
"""One id or a list of them, and a list of users: for requests that watch; no table has them."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a JSON object."""

    name: str
    type: str | None
    """One of `value_types.NAMES`, IDS or USERS; None for any value."""
    is_required: bool
    """Whether it must be there, and not be null."""


def of_types(types: Mapping[str, str]) -> Sequence[Key]:
    """Give the keys of a `types`."""
    return [_key(name, types, needed=()) for name in types]


def of_request(row: RequestRow) -> Sequence[Key]:
    """Give the keys that a client must or may send; none where any value is accepted."""
    if row.watches or row.unwatches:
        return [Key(row.watches or row.unwatches, IDS, True)]
    types = {**dict.fromkeys(_ids(row), ID), **row.types}
    return [_key(name, types, _ids(row)) for name in types]


def of_answer(row: RequestRow) -> Sequence[Key]:
    """Give the keys of the ack's data, for a request that is served by the gateway."""
    if row.watches:
        return [Key("online", USERS, True)]
    return [key for key in of_request(row) if key.name in _ids(row)]


def of_publication(row: RouteRow) -> Sequence[Key]:
    """Give the keys that are read of what is published."""
    needed = set(_needed(row))
    return [_key(name, row.types, needed) for name in dict.fromkeys(row.keys_read())]


def of_event(row: RouteRow) -> Sequence[Key]:
    """Give the keys that clients receive."""
    needed = set(_needed(row))
    return [_key(name, row.types, needed) for name in row.keys]


def recipients(row: RouteRow) -> Sequence[str]:
    """Give the keys of which an event must have one: they name who gets it."""
    return list(dict.fromkeys(templates.split_checked(text).key for text in row.to))


def _ids(row: RequestRow) -> Sequence[str]:
    return [templates.split_checked(text).key for text in row.templates()]


def _needed(row: RouteRow) -> Iterator[str]:
    """Give the keys without which an event is malformed."""
    addresses = recipients(row)
    if len(addresses) == 1:
        yield from addresses
    others = [row.except_] if row.except_ else []
    if row.removes is not None:
        others += [row.removes.who, row.removes.from_]
    for text in others:
        yield templates.split_checked(text).key


def _key(name: str, types: Mapping[str, str], needed: Iterable[str]) -> Key:
    written = types.get(name)
    if written is None:
        return Key(name, None, name in needed)
    is_required = name in needed or not written.endswith(NULLABLE)
    return Key(name, written.removesuffix(NULLABLE), is_required)
