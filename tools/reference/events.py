"""The default interface table as clients and publishers see it."""

from __future__ import annotations

from collections.abc import Iterator

from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.interface.table import Interface, load
from tools.reference import Row, code, table


def events() -> str:
    return table(("event", "keys of its payload", "channel"), _events(load()))


def requests() -> str:
    return table(("request", "what it does", "access"), _requests(load()))


def channels() -> str:
    return table(("channel", "event", "to", "except", "afterwards"), _channels(load()))


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(map(code, words))


def _events(interface: Interface) -> Iterator[Row]:
    for row in interface.routes:
        yield code(row.event), _listed(row.keys), code(row.channel)


def _requests(interface: Interface) -> Iterator[Row]:
    for row in interface.requests:
        yield code(row.event), _effect(row), code(row.access) if row.access == "chat" else ""


def _effect(row: RequestRow) -> str:
    verb, rooms = ("joins", row.joins) if row.joins else ("leaves", row.leaves)
    bare = f"; a bare id stands for {code(row.bare)}" if row.bare else ""
    return f"{verb} {_listed(rooms)}{bare}"


def _channels(interface: Interface) -> Iterator[Row]:
    for row in interface.routes:
        to, event, without = _listed(row.to), code(row.event), code(row.except_)
        yield code(row.channel), event, to, without, _afterwards(row)


def _afterwards(row: RouteRow) -> str:
    emptied = f"empties {_listed(row.empties)}" if row.empties else ""
    unsent = f"nothing is sent if {code(row.unless_empty)} is empty" if row.unless_empty else ""
    return "; ".join(filter(None, (unsent, emptied)))
