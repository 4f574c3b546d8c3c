"""What is wrong with one `[[route]]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from constellation_ws.interface import templates, value_types
from constellation_ws.interface.reading import closest, shown
from constellation_ws.interface.rows import RouteRow
from constellation_ws.interface.surroundings import USER_ROOM, Surroundings
from constellation_ws.messages.commands import REQUESTS
from constellation_ws.messages.events import UNSENDABLE_EVENTS
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS

_UNUSABLE = re.compile(r'["\\\x00-\x1f]')
"""What msgspec does not accept in the name of a field."""


def faults(row: RouteRow, around: Surroundings) -> Iterator[str]:
    """Say what is wrong with the row, and what to change."""
    if not row.channel or not row.event or not row.to:
        yield "channel, event and to must not be empty"
    yield from _channel_faults(row.channel, around)
    if row.event in UNSENDABLE_EVENTS:
        yield f"{row.event} is an event name that Socket.IO reserves; use another name"
    yield from template_faults(_all_templates(row))
    yield from _foreign_faults(row, around)
    yield from key_faults((*row.keys, *_all_templates(row), row.unless_empty))
    for key in row.keys:
        if key in TRACE_KEYS:
            yield f"{key} is trace context, which is never forwarded; remove it from keys"
    if around.is_anonymous(row.namespace):
        yield from anonymous_faults(row.templates(), row.namespace)
    yield from type_faults(row.types)
    read = list(row.keys_read())
    for key in row.types:
        if key not in read:
            hint = closest(key, read) or "; add it to keys, or remove its type"
            yield f"types has {shown(key)}, which the route does not read{hint}"


def _all_templates(row: RouteRow) -> tuple[str, ...]:
    return (*row.templates(), *((row.partition_by,) if row.partition_by else ()))


def template_faults(found: Iterable[str]) -> Iterator[str]:
    """Find what is no room template."""
    for template in found:
        if templates.split(template) is None:
            yield f"{template!r} is not a room template such as 'user:{{userId}}'"


def foreign_fault(text: str, namespace: str) -> str:
    """Say that a template may name rooms of another namespace."""
    return (
        f"{text!r} could name a room of {shown(namespace)}: begin it with a fixed part that does "
        "not begin with a slash, as 'order:{orderId}' does"
    )


def _foreign_faults(row: RouteRow, around: Surroundings) -> Iterator[str]:
    for text in row.templates():
        template = templates.split(text)
        if template and (other := around.foreign(row.namespace, template.prefix)):
            yield foreign_fault(text, other)


def key_faults(keys: Iterable[str]) -> Iterator[str]:
    """Find keys, and templates with keys, that events cannot be read by."""
    for key in keys:
        if _UNUSABLE.search(key):
            yield f"{key!r} must not contain a quote, a backslash or a control character"


def anonymous_faults(found: Iterable[str], namespace: str) -> Iterator[str]:
    """Find rooms of users in a namespace that has none."""
    for template in found:
        if template.startswith(USER_ROOM):
            yield (
                f'room {template!r} is always empty: {shown(namespace)} has identity = "none"; '
                "use another room, or require an identity"
            )


def type_faults(types: Mapping[str, str]) -> Iterator[str]:
    """Find types that there are not."""
    yield from key_faults(types)
    for key, name in types.items():
        if not value_types.is_known(name):
            known = f"{', '.join(value_types.NAMES)}, each also with ?"
            yield f"{shown(name)} is no type for {shown(key)}; the types are {known}"


def _channel_faults(channel: str, around: Surroundings) -> Iterator[str]:
    if channel in REQUESTS:
        yield "the TCP port has a pattern of this name, which would hide the channel; use another"
    if wildcards := sorted(set("*?[]").intersection(channel)):
        signs = " ".join(wildcards)
        yield f"wildcards ({signs}) are not supported; add a route for each channel"
    elif channel != channel.strip() or not channel.isprintable():
        yield f"{channel!r} has leading or trailing spaces, or unprintable characters; remove them"
    if around.deployment.owns_channel(channel):
        yield "this channel is reserved for pods and emitters; use another"
