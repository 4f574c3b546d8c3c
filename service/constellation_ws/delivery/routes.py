"""Event -> who gets it: the one table, as data, and the decision per event.

The table's form is described in routes.toml. Nothing here knows sockets or Redis.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from constellation_ws.messages import ids
from constellation_ws.messages.commands import REQUESTS, Leave, is_own_channel
from constellation_ws.messages.events import (
    UNSENDABLE_EVENTS,
    Decoder,
    EventName,
    Fields,
    MalformedEvent,
    Room,
    Slice,
    fields_of,
)
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS
from constellation_ws.messages.trace_context import PARENT
from constellation_ws.redis_io.names import DEFAULT_PREFIX

_TEMPLATE = re.compile(r"(?P<prefix>[^{}]*)\{(?P<key>[^{}]+)\}")
_UNUSABLE = re.compile(r'["\\\x00-\x1f]')
"""What msgspec does not take in the name of a field."""

MAX_REMOVALS = 100_000
"""Most that one event may remove: of two long lists every pair would be one, for seconds."""


class InvalidRoutes(ValueError):
    """The route table cannot be used; `str()` says which file, which entry and why."""


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`removes` of a `[[route]]`: whose sockets leave which rooms."""

    who: str
    from_: str


class RouteEntry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"except_": "except"}
):
    """One `[[route]]` of the table; routes.toml says what each key means."""

    channel: str
    event: str
    keys: tuple[str, ...]
    to: tuple[str, ...]
    except_: str = ""
    unless_empty: str = ""
    empties: tuple[str, ...] = ()
    removes: Removal | None = None

    def templates(self) -> tuple[str, ...]:
        """Give every room template of the entry."""
        removes = (self.removes.who, self.removes.from_) if self.removes else ()
        return (*self.to, *((self.except_,) if self.except_ else ()), *self.empties, *removes)


class Message(msgspec.Struct, frozen=True, gc=False):
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


_Target = tuple[str, Callable[[Fields], Slice]]
"""A room template: a fixed prefix, and how to read the value whose ids complete it.

A bare tuple: one with names is unpacked at half the speed.
"""


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
        "event",
    )

    def __init__(self, entry: RouteEntry, *, is_traced: bool = False) -> None:
        keys = dict.fromkeys([*entry.keys, *(_key(template) for template in entry.templates())])
        if entry.unless_empty:
            keys[entry.unless_empty] = None
        if is_traced:
            keys[PARENT] = None  # read along with the rest: looking for it apart takes as long
        shape = fields_of(keys)
        attribute = dict(zip(keys, shape.__struct_fields__, strict=True))
        self.event = EventName(entry.event)
        self._decode = Decoder(shape).decode
        self._to = _targets(entry.to, attribute)
        self._except = _targets((entry.except_,) if entry.except_ else (), attribute)
        self._empties = _targets(entry.empties, attribute)
        removes = (entry.removes.who, entry.removes.from_) if entry.removes else ()
        self._removes = [_targets((template,), attribute) for template in removes]
        self._unless = attrgetter(attribute[entry.unless_empty]) if entry.unless_empty else None
        self._traceparent = attrgetter(attribute[PARENT]) if is_traced else None
        self._addresses = [attribute[key] for key in dict.fromkeys(map(_key, entry.templates()))]
        # Keys that only address the event follow the payload's and are unset before it is encoded.
        self._hidden = [attribute[key] for key in keys if key not in entry.keys]

    def route(self, raw: bytes) -> Message | None:
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
        return Message(self.event, fields, rooms, hidden_from, emptied, traceparent, removals)

    def _route_leniently(self, fields: Fields) -> Message | None:
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
            message = self.route(msgspec.json.encode(addresses))
        except MalformedEvent as error:
            raise MalformedEvent(f"{error}; {invalid} recipients are not ids") from error
        if message is None:
            return None
        for name in self._hidden:
            setattr(fields, name, UNSET)
        return msgspec.structs.replace(message, body=fields, invalid_ids=invalid)


def _removals(removes: list[list[_Target]], fields: Fields) -> Sequence[Leave]:
    """Name who leaves what. Raises MalformedEvent: nobody must stay in a room by a slip."""
    who, rooms = (_rooms(targets, fields) for targets in removes)
    if who is None or rooms is None:
        raise MalformedEvent("lacks the keys that name the users and rooms of the removal")
    if len(who) * len(rooms) > MAX_REMOVALS:
        raise MalformedEvent("removes too many users from too many rooms at once")
    return [Leave(Room(one), Room(room)) for one in who for room in rooms]


def _rooms(targets: list[_Target], fields: Fields) -> Sequence[str] | None:
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


def _targets(templates: Iterable[str], attribute: Mapping[str, str]) -> list[_Target]:
    matches = [_TEMPLATE.fullmatch(template) for template in templates]
    return [(match["prefix"], attrgetter(attribute[match["key"]])) for match in matches if match]


Table = Mapping[str, Route]
"""The compiled table: channel -> route."""


def load(
    extra: Path | None = None,
    *,
    is_traced: bool = False,
    own_prefix: str = DEFAULT_PREFIX,
    emitters: EmitterChannels = DEFAULT_EMITTERS,
) -> Table:
    """Read the contract's table and, where given, a file with further channels.

    A table that is traced reads trace context off each event. `own_prefix` begins the channels of
    the deployment itself, which no event may use, nor those of `emitters`. Raises InvalidRoutes.
    """
    entries = _parse(
        resources.files("constellation_ws.delivery").joinpath("routes.toml").read_text(),
        "routes.toml",
    )
    if extra is not None:
        try:
            text = extra.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRoutes(f"{extra} cannot be read: {error}") from error
        entries = [*entries, *_parse(text, str(extra))]
    table: dict[str, Route] = {}
    places: dict[str, str] = {}
    for place, entry in entries:
        channel = entry.channel
        if is_own_channel(channel, own_prefix) or emitters.own(channel):
            reason = "this channel is reserved for pods and emitters"
            raise InvalidRoutes(f"{place} ({channel}): {reason}")
        if channel in table:
            earlier = places[channel]
            raise InvalidRoutes(f"{place} ({channel}): the channel has a route already, {earlier}")
        table[channel], places[channel] = Route(entry, is_traced=is_traced), place
    return table


def _parse(text: str, source: str) -> list[tuple[str, RouteEntry]]:
    """Read the entries, each with its place: its file, and its number there."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRoutes(f"{source} is not TOML: {error}") from error
    if set(document) - {"route"} or not isinstance(document.get("route", []), list):
        raise InvalidRoutes(f"{source} must hold [[route]] entries and nothing else")
    places = (f"{source}, route {n}" for n in itertools.count(1))
    rows = document.get("route", [])
    return [(place, _entry(row, place)) for place, row in zip(places, rows, strict=False)]


def _entry(row: Any, place: str) -> RouteEntry:
    try:
        entry = msgspec.convert(row, RouteEntry)
    except msgspec.ValidationError as error:
        raise InvalidRoutes(f"{place}: {error}") from error
    for reason in _faults(entry):
        raise InvalidRoutes(f"{place} ({entry.channel or 'no channel'}): {reason}")
    return entry


def _faults(entry: RouteEntry) -> Iterable[str]:
    if not entry.channel or not entry.event or not entry.to:
        yield "channel, event and to must not be empty"
    if entry.channel in REQUESTS:
        yield "the TCP port has a pattern of this name, which would hide the channel"
    if reason := _never_matches(entry.channel):
        yield reason
    if entry.event in UNSENDABLE_EVENTS:
        yield f"{entry.event} is an event name that Socket.IO reserves; use another name"
    for template in entry.templates():
        if not _TEMPLATE.fullmatch(template):
            yield f"{template!r} is not a room template such as 'user:{{userId}}'"
    for key in (*entry.keys, *entry.templates(), entry.unless_empty):
        if _UNUSABLE.search(key):
            yield f"{key!r} must not contain a quote, a backslash or a control character"
    for key in entry.keys:
        if key in TRACE_KEYS:
            yield f"{key} is trace context, which is never forwarded"


def _never_matches(channel: str) -> str | None:
    """Say why nothing is ever published on a channel of this name; None where something may be."""
    if wildcards := sorted(set("*?[]").intersection(channel)):
        signs = " ".join(wildcards)
        return f"wildcards ({signs}) are not supported; add a route for each channel"
    if channel != channel.strip() or not channel.isprintable():
        return f"{channel!r} has leading or trailing spaces, or unprintable characters"
    return None


def _key(template: str) -> str:
    match = _TEMPLATE.fullmatch(template)
    assert match is not None, "checked when the table was read"
    return match["key"]


def _is_empty_list(raw: Slice) -> bool:
    return isinstance(raw, msgspec.Raw) and bytes(raw).translate(None, b" \t\r\n") == b"[]"
