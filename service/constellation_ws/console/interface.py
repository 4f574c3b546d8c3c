"""The interface table as the forms and the snippets need it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from constellation_ws import __version__
from constellation_ws.interface import templates
from constellation_ws.interface.rows import RouteRow
from constellation_ws.interface.table import Interface
from constellation_ws.schema import clients, keys
from constellation_ws.schema.clients import ClientInterface


class Field(msgspec.Struct, frozen=True):
    """One key of a form."""

    name: str
    type: str
    """As in the table; empty for any value."""
    required: bool
    names: str
    """What the id in it names, `user` or `chat` say; empty where it is no address."""


class Request(msgspec.Struct, frozen=True):
    """What clients may send."""

    event: str
    joins: bool
    fields: list[Field]


class Namespace(msgspec.Struct, frozen=True):
    """A namespace, and what crosses it."""

    name: str
    identity: bool
    requests: list[Request]
    events: list[str]


class Channel(msgspec.Struct, frozen=True):
    """What is published."""

    channel: str
    event: str
    namespace: str
    to: list[str]
    volatile: bool
    fields: list[Field]


class Description(msgspec.Struct, frozen=True):
    """The whole table."""

    version: str
    tokens: bool
    recovery: bool
    publishes: bool
    """Whether the page may publish: only a developer's own gateway allows that."""
    redis: str
    """Where events are published, for the snippets; empty where that is nobody's business."""
    tcpPort: int
    namespaces: list[Namespace]
    channels: list[Channel]


def describe(
    interface: Interface,
    *,
    has_tokens: bool,
    has_recovery: bool,
    publishes: bool,
    shows_channels: bool,
    redis: str = "",
    tcp_port: int = 0,
) -> bytes:
    """Write the description; without channels it says only what clients know anyway."""
    spaces = clients.of_namespaces(interface, has_tokens=has_tokens)
    identified = {row.name for row in interface.namespaces if row.identity == "required"}
    return msgspec.json.encode(
        Description(
            __version__,
            has_tokens,
            has_recovery,
            publishes,
            redis,
            tcp_port,
            [_namespace(one, one.name in identified) for one in spaces],
            [_channel(row) for row in interface.routes] if shows_channels else [],
        )
    )


def _namespace(one: ClientInterface, is_identified: bool) -> Namespace:
    requests = [
        Request(row.event, bool(row.joins), _fields(keys.of_request(row), row.templates()))
        for row in one.requests
    ]
    return Namespace(one.name, is_identified, requests, list(one.events))


def _channel(row: RouteRow) -> Channel:
    to = [*row.to, *([f"not {row.except_}"] if row.except_ else [])]
    fields = _fields(keys.of_publication(row), row.templates())
    return Channel(row.channel, row.event, row.namespace, to, row.volatile, fields)


def _fields(found: Iterable[keys.Key], texts: Iterable[str]) -> list[Field]:
    names = {
        template.key: template.prefix.rstrip(":")
        for text in texts
        if (template := templates.split(text)) is not None
    }
    return [
        Field(key.name, key.type or "", key.is_required, names.get(key.name, "")) for key in found
    ]
