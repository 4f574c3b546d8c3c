"""What is wrong with one `[[request]]`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from constellation_ws.interface import addresses, templates
from constellation_ws.interface.built_in import REFRESH
from constellation_ws.interface.reading import closest, shown
from constellation_ws.interface.route_checks import (
    anonymous_faults,
    foreign_fault,
    key_faults,
    template_faults,
    type_faults,
)
from constellation_ws.interface.rows import RequestRow
from constellation_ws.interface.surroundings import CHAT_ROOM, USER_ROOM, Surroundings
from constellation_ws.interface.value_types import NULLABLE
from constellation_ws.interface.watches import watch_room
from constellation_ws.messages.events import UNSENDABLE_EVENTS

_RESERVED = UNSENDABLE_EVENTS | {"*", REFRESH}

_KEYS_OF: Mapping[str, tuple[str, ...]] = {
    "joins": ("access", "bare"),
    "leaves": ("bare",),
    "watches": ("access", "emits"),
    "unwatches": (),
    "nest": ("backend", "pattern", "bare", "in_room", "claims", "rooms"),
    "http": ("backend", "path", "idempotent", "bare", "in_room", "claims", "rooms"),
    "channel": ("channel", "bare", "in_room", "claims", "rooms"),
    "log": ("stream", "bare", "in_room", "claims", "rooms"),
}
"""What belongs to each kind of request, beside what every one may have."""
_KINDS = ("joins", "leaves", "watches", "unwatches", "to")
_KEYS = tuple(dict.fromkeys(key for keys in _KEYS_OF.values() for key in keys))
_REQUIRED = {"nest": "backend", "http": "backend", "channel": "channel", "log": "stream"}
_WITHOUT = RequestRow("")
"""Has of each key what it is where the row does not have it."""
_NO_SINGLE_ID = ("boolean", "list", "object")


def faults(row: RequestRow, around: Surroundings) -> Iterator[str]:
    """Say what is wrong with the row, and what to change."""
    yield from _event_faults(row.event)
    kinds = [kind for kind in _KINDS if getattr(row, kind)]
    if len(kinds) == 1:
        yield from _kind_faults(row, row.to or kinds[0])
    else:
        found = " and ".join(kinds) or "none of them"
        yield f"it must have exactly one of {', '.join(_KINDS[:-1])} and to, and has {found}"
    yield from template_faults(row.templates())
    yield from key_faults((*row.templates(), row.bare, row.watches, row.unwatches))
    yield from _watch_faults(row)
    yield from _room_faults(row, around)
    yield from _bare_faults(row)
    yield from type_faults(row.types)
    yield from _typed_id_faults(row)
    yield from _backend_faults(row, around)
    yield from _destination_faults(row, around)
    if around.is_anonymous(row.namespace):
        yield from _anonymous_faults(row)


def _event_faults(event: str) -> Iterator[str]:
    if not event or not event.isprintable():
        yield "event must be a name without control characters"
    elif event == REFRESH:
        yield f"{REFRESH} is built in where tokens are used; remove the request"
    elif event in _RESERVED:
        yield f"{event} is an event name that Socket.IO reserves; use another name"


def _kind_faults(row: RequestRow, kind: str) -> Iterator[str]:
    written = f'to = "{kind}"' if row.to else kind
    for key in _KEYS:
        if key not in _KEYS_OF[kind] and getattr(row, key) != getattr(_WITHOUT, key):
            yield f"{key} does not belong to a request with {written}; remove it"
    required = _REQUIRED.get(kind)
    if required and not getattr(row, required):
        yield f"{written} requires {required}"


def _room_faults(row: RequestRow, around: Surroundings) -> Iterator[str]:
    """Find rooms that clients must not be able to name.

    What comes before the colon is fixed: else an id such as `user:bob` would name a room of another
    kind, and a room without a colon could be the sid of another client.
    """
    for text in (*row.joins, *row.leaves):
        template = templates.split(text)
        if template is None:
            continue
        if ":" not in template.prefix:
            yield f"{text!r} must begin with a fixed part and a colon, as 'order:{{orderId}}' does"
        elif template.prefix.startswith(USER_ROOM):
            yield f"{text!r} is a room that users are in by their identity; use another room"
        elif other := around.foreign(row.namespace, template.prefix):
            yield foreign_fault(text, other)
    if row.joins and row.access == "chat" and not any(map(_is_chat, row.joins)):
        yield "access = \"chat\" requires joins with a room such as 'chat:{chatId}'"


def _watch_faults(row: RequestRow) -> Iterator[str]:
    if row.emits in UNSENDABLE_EVENTS or not row.emits.isprintable() or not row.emits:
        yield f"emits is {shown(row.emits)}, which clients cannot receive; use another name"
    if row.types and (row.watches or row.unwatches):
        yield "types does not belong to a request that watches; it has one key, which holds ids"


def watch_faults_together(
    requests: Sequence[tuple[str, RequestRow]],
) -> Iterator[tuple[str, str]]:
    """Find what is wrong between the requests that watch and the others: places and faults."""
    watching = [(place, row) for place, row in requests if row.watches]
    for place, row in watching[1:]:
        first_place, first = watching[0]
        if (row.namespace, row.emits) != (first.namespace, first.emits):
            yield place, f"watches requires the namespace and the emits of {first_place}"
    checked = {row.namespace for _, row in watching if row.access == "chat"}
    for place, row in requests:
        for text in row.joins if row.namespace in checked else ():
            if _passes_check(text, row):
                yield (
                    place,
                    f"{text!r} lets clients watch users without the check of watches; "
                    'use another room, or chat:{chatId} with access = "chat"',
                )


def _passes_check(text: str, row: RequestRow) -> bool:
    """Return whether joins may name the room of a watched user without asking who may."""
    template, watched = templates.split(text), watch_room("", "chat")
    if template is None or (row.access == "chat" and template.prefix == CHAT_ROOM):
        return False
    return watched.startswith(template.prefix) or template.prefix.startswith(watched)


def _is_chat(text: str) -> bool:
    template = templates.split(text)
    return template is not None and template.prefix == CHAT_ROOM


def _bare_faults(row: RequestRow) -> Iterator[str]:
    keys = _template_keys(row)
    if not row.bare:
        return
    if row.bare not in keys:
        found = f"; the keys are {', '.join(map(shown, keys))}" if keys else ""
        yield f"bare is {shown(row.bare)}, which is no key of a room template of the request{found}"
    elif len(keys) > 1:
        yield f"bare gives one id, and the request needs {', '.join(map(shown, keys))}; remove bare"


def _typed_id_faults(row: RequestRow) -> Iterator[str]:
    for key in _template_keys(row):
        if row.types.get(key, "").removesuffix(NULLABLE) in _NO_SINGLE_ID:
            yield f"{shown(key)} completes a room's name: its type must be id, string or number"


def _template_keys(row: RequestRow) -> list[str]:
    found = (templates.split(text) for text in row.templates())
    return list(dict.fromkeys(template.key for template in found if template))


def _backend_faults(row: RequestRow, around: Surroundings) -> Iterator[str]:
    if row.to not in ("nest", "http") or not row.backend:
        return
    names = around.backend_names
    if row.backend not in names:
        known = ", ".join(map(shown, names)) or "none"
        hint = closest(row.backend, list(names)) or f"; it has {known}"
        yield f"the table has no [[backend]] {shown(row.backend)}{hint}"
    elif (backend := around.backends.get(row.backend)) and not getattr(backend, row.to):
        yield f'to = "{row.to}" requires a backend with {row.to}, and {shown(row.backend)} has none'


def _destination_faults(row: RequestRow, around: Surroundings) -> Iterator[str]:
    if row.path and (not row.path.startswith("/") or not addresses.is_path(row.path)):
        yield 'path must be fixed and begin with "/", such as "/place": no templates, query or ..'
    if set("{}").intersection(row.channel):
        yield "channel must be fixed: no templates"
    for key, value in (("channel", row.channel), ("stream", row.stream)):
        if not value.isprintable() or value != value.strip():
            yield f"{key} must have no leading or trailing spaces, nor unprintable characters"
    if row.channel and around.deployment.owns_channel(row.channel):
        yield "this channel is reserved for pods and emitters; use another"
    if row.stream and around.deployment.owns_key(row.stream):
        yield "this stream is among the gateway's own keys; use another"
    if not row.pattern.isprintable():
        yield "pattern must have no unprintable characters"
    for claim in row.claims:
        if not claim or not claim.isprintable():
            yield "claims must be names of claims"
    if len(set(row.claims)) < len(row.claims):
        yield "claims has a name twice; remove one"


def _anonymous_faults(row: RequestRow) -> Iterator[str]:
    yield from anonymous_faults(row.templates(), row.namespace)
    for key, is_set in (("access", row.access == "chat"), ("claims", bool(row.claims))):
        if is_set:
            yield f'{key} requires a user, and {shown(row.namespace)} has identity = "none"'
