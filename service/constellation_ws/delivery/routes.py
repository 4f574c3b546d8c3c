"""Event -> who gets it: the compiled routes of the interface table, and the decision per event.

What a route may say is described in docs/interface.md, and read by `interface`. Nothing here knows
sockets or Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

import msgspec
from msgspec import UNSET

from constellation_ws.delivery.addresses import Addresses, Target, are_decisive, targets_of
from constellation_ws.interface.rows import RouteRow
from constellation_ws.interface.value_types import Types
from constellation_ws.messages import ids
from constellation_ws.messages.commands import Leave
from constellation_ws.messages.events import (
    NAMESPACE,
    Decoder,
    EventName,
    Fields,
    MalformedEvent,
    Room,
    Slice,
    fields_of,
)
from constellation_ws.messages.namespaces import (
    DEFAULT_NAMESPACES,
    DEFAULT_SCOPE,
    Namespaces,
    Scope,
)
from constellation_ws.messages.trace_context import PARENT

MAX_REMOVALS = 100_000
"""Most that one event may remove: of two long lists every pair would be one, for seconds."""


class RoutedEvent(msgspec.Struct, frozen=True, gc=False):
    """What goes out, to whom: all that delivery needs to know of an event."""

    event: EventName
    body: Fields
    """Encodes to the payload, its values untouched."""
    rooms: Sequence[str]
    """Rooms by name; plain `str`, since `Room(...)` is a call, and this is the hot path."""
    except_rooms: Sequence[str]
    empties: Sequence[str]
    traceparent: Slice = UNSET
    """As published, quotes and all; UNSET as well where the table was not asked to read it."""
    removals: Sequence[Leave] = ()
    """Who leaves which room after the delivery."""
    invalid_ids: int = 0
    """Values among the addresses that are no ids; they were left out."""
    namespace: str = NAMESPACE


class Route:
    """One compiled row of the table."""

    __slots__ = (
        "_addresses",
        "_decode",
        "_empties",
        "_except",
        "_hidden",
        "_removes",
        "_to",
        "_traceparent",
        "_unless",
        "addresses",
        "event",
        "is_volatile",
        "namespace",
    )

    def __init__(
        self, row: RouteRow, scope: Scope = DEFAULT_SCOPE, *, is_traced: bool = False
    ) -> None:
        """`row` must have been checked, and name its namespace, whose rooms begin with `scope`."""
        keys = dict.fromkeys(row.keys_read())
        if is_traced:
            keys[PARENT] = None  # read along with the rest: looking for it apart takes as long
        shape = fields_of(keys)
        attribute = dict(zip(keys, shape.__struct_fields__, strict=True))
        self.event = EventName(row.event)
        self.namespace = row.namespace
        self.is_volatile = row.volatile
        self._decode = Decoder(shape).decode
        self._to = targets_of(row.to, attribute, scope)
        self._except = targets_of((row.except_,) if row.except_ else (), attribute, scope)
        self._empties = targets_of(row.empties, attribute, scope)
        removes = (row.removes.who, row.removes.from_) if row.removes else ()
        self._removes = [targets_of((template,), attribute, scope) for template in removes]
        self._unless = attrgetter(attribute[row.unless_empty]) if row.unless_empty else None
        self._traceparent = attrgetter(attribute[PARENT]) if is_traced else None
        self._addresses = [attribute[key] for key in dict.fromkeys(row.template_keys())]
        # Keys that only address the event follow the payload's and are unset before it is encoded.
        self._hidden = [attribute[key] for key in keys if key not in row.keys]
        is_decisive = are_decisive(row) and not is_traced
        self.addresses = Addresses(row, scope) if is_decisive else None
        """Reads whom an event addresses, where that may show that it concerns nobody here."""

    def route(self, raw: bytes) -> RoutedEvent | None:
        """Decide who gets the event; None where the table says that nothing is sent.

        Raises MalformedEvent where the event is not readable or names nobody.
        """
        fields = self._decode(raw)
        try:
            rooms = _rooms(self._to, fields)
            if rooms is None:
                raise MalformedEvent("lacks the keys that name its recipients")
            hidden_from = _rooms(self._except, fields) if self._except else _NOWHERE
            if hidden_from is None:
                raise MalformedEvent("lacks the key that names its author")
            emptied = (_rooms(self._empties, fields) or _NOWHERE) if self._empties else _NOWHERE
            removals = _removals(self._removes, fields) if self._removes else _NOBODY
        except msgspec.DecodeError:
            return self._route_leniently(fields)
        if self._unless is not None and _is_empty_list(self._unless(fields)):
            return None
        traceparent = UNSET if self._traceparent is None else self._traceparent(fields)
        for name in self._hidden:
            setattr(fields, name, UNSET)
        return RoutedEvent(
            self.event,
            fields,
            rooms,
            hidden_from,
            emptied,
            traceparent,
            removals,
            0,
            self.namespace,
        )

    def _route_leniently(self, fields: Fields) -> RoutedEvent | None:
        """Route an event with addresses such as `1.0`, or with lists of which some are no ids.

        Elements that are no ids are left out. What is sent stays as it was published.
        """
        addresses, invalid = msgspec.structs.replace(fields), 0
        for name in self._addresses:
            raw = getattr(fields, name)
            found = None if raw is UNSET else ids.read_ids(raw)
            if found is None:
                continue
            if found.invalid and not found.is_list:
                raise MalformedEvent("a recipient is neither an id nor a list of ids")
            invalid += found.invalid
            setattr(addresses, name, msgspec.Raw(msgspec.json.encode(found.value())))
        try:
            message = Route.route(self, msgspec.json.encode(addresses))
        except MalformedEvent as error:
            raise MalformedEvent(f"{error}; {invalid} recipients are not ids") from error
        if message is None:
            return None
        for name in self._hidden:
            setattr(fields, name, UNSET)
        return msgspec.structs.replace(message, body=fields, invalid_ids=invalid)


def _removals(removes: list[list[Target]], fields: Fields) -> Sequence[Leave]:
    """Name who leaves what. Raises MalformedEvent: nobody must stay in a room by a slip."""
    who, rooms = (_rooms(targets, fields) for targets in removes)
    if who is None or rooms is None:
        raise MalformedEvent("lacks the keys that name the users and rooms of the removal")
    if len(who) * len(rooms) > MAX_REMOVALS:
        raise MalformedEvent("removes too many users from too many rooms at once")
    return [Leave(Room(one), Room(room)) for one in who for room in rooms]


def _rooms(targets: list[Target], fields: Fields) -> Sequence[str] | None:
    """Name the rooms that the event addresses; None where it has none of the keys."""
    rooms: list[str] = []
    is_addressed = False
    for prefix, read in targets:
        raw = read(fields)
        if raw is UNSET:
            continue
        found = ids.decode_ids(raw)
        if isinstance(found, list):
            rooms.extend([f"{prefix}{one}" for one in found])
            is_addressed = True
        elif found is not None and found != "":
            rooms.append(f"{prefix}{found}")
            is_addressed = True
    return rooms if is_addressed else None


_NOWHERE: Sequence[str] = ()
_NOBODY: Sequence[Leave] = ()


def _is_empty_list(raw: Slice) -> bool:
    return isinstance(raw, msgspec.Raw) and bytes(raw).translate(None, b" \t\r\n") == b"[]"


class TypedRoute(Route):
    """A route with `types`: what does not fit them is malformed.

    It reads the event twice. A subclass, so that routes without types do nothing for it.
    """

    __slots__ = ("_decode_typed", "_types")

    def __init__(
        self, row: RouteRow, scope: Scope = DEFAULT_SCOPE, *, is_traced: bool = False
    ) -> None:
        super().__init__(row, scope, is_traced=is_traced)
        self._types = Types(row.types)
        self._decode_typed = Decoder(fields_of(self._types.keys)).decode

    def route(self, raw: bytes) -> RoutedEvent | None:
        """As `Route.route`."""
        values = msgspec.structs.astuple(self._decode_typed(raw))
        if misfit := self._types.misfit(values):
            raise MalformedEvent(misfit)
        return super().route(raw)


Table = Mapping[str, Route]
"""The compiled routes: channel -> route."""


def compile_table(
    rows: Iterable[RouteRow],
    namespaces: Namespaces = DEFAULT_NAMESPACES,
    *,
    is_traced: bool = False,
) -> Table:
    """Compile the routes of an interface table; those that are traced read trace context too."""
    table: dict[str, Route] = {}
    for row in rows:
        kind = TypedRoute if row.types else Route
        table[row.channel] = kind(row, namespaces.scope(row.namespace), is_traced=is_traced)
    return table
