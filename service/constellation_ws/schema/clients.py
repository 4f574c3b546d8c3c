"""The table as the clients of one namespace see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constellation_ws.interface import built_in
from constellation_ws.interface.rows import NamespaceRow, RequestRow, RouteRow
from constellation_ws.interface.table import Interface
from constellation_ws.interface.watches import status_row


@dataclass(frozen=True, slots=True)
class ClientInterface:
    """One namespace."""

    name: str
    requests: Sequence[RequestRow]
    """What clients may send, with what is built in."""
    events: Mapping[str, Sequence[RouteRow]]
    """What clients receive: event -> the routes that send it."""


Clients = Sequence[ClientInterface]
"""All namespaces, the default one first."""


def of_namespaces(interface: Interface, *, has_tokens: bool) -> Clients:
    """Give each namespace; `has_tokens` is whether users prove who they are by tokens."""
    return [_of_namespace(interface, row, has_tokens) for row in interface.namespaces]


def _of_namespace(interface: Interface, row: NamespaceRow, has_tokens: bool) -> ClientInterface:
    requests = [one for one in interface.requests if one.namespace == row.name]
    if has_tokens and row.identity == "required":
        requests.append(built_in.refresh_row(row.name))
    events: dict[str, list[RouteRow]] = {}
    for route in interface.routes:
        if route.namespace == row.name:
            events.setdefault(route.event, []).append(route)
    changes = status_row(requests, "")
    if changes is not None:
        events.setdefault(changes.event, []).append(changes)
    return ClientInterface(row.name, requests, events)
