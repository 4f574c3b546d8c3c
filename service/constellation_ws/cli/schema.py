"""`schema`: the interface for machines, as one document on stdout."""

from __future__ import annotations

from enum import Enum
from typing import cast

import msgspec

from constellation_ws.api import openapi
from constellation_ws.api.operations import Operations
from constellation_ws.interface.table import Interface
from constellation_ws.nest.rpc import REQUESTS
from constellation_ws.schema import asyncapi, clients, typescript
from constellation_ws.schema.asyncapi import Ports
from constellation_ws.services.actions import Actions
from constellation_ws.settings.settings import Settings


class Format(Enum):
    """What can be printed, by the names of the options."""

    ASYNCAPI = "asyncapi"
    TYPESCRIPT = "typescript"
    OPENAPI = "openapi"


class NotOne(ValueError):
    """No format was named, or several; `str()` says which there are."""


def choose(**wanted: bool) -> Format:
    """Give the one format that is wanted. Raises NotOne."""
    chosen = [kind for kind in Format if wanted[kind.value]]
    if len(chosen) != 1:
        options = ", ".join(f"--{kind.value}" for kind in Format)
        raise NotOne(f"Give exactly one of {options}.")
    return chosen[0]


def document(kind: Format, values: Settings, interface: Interface) -> str:
    """Write one of the documents."""
    match kind:
        case Format.ASYNCAPI:
            return _asyncapi(values, interface)
        case Format.TYPESCRIPT:
            return typescript.document(_clients(values, interface))
        case Format.OPENAPI:
            # Rows are only described here: no action is done.
            rows = Operations(cast("Actions", None)).rows()
            channels = [row.channel for row in interface.routes]
            namespaces = [row.name for row in interface.namespaces]
            return _indented(openapi.document(rows, channels, namespaces))


def _asyncapi(values: Settings, interface: Interface) -> str:
    described = asyncapi.document(
        _clients(values, interface),
        interface.routes,
        REQUESTS,
        Ports(values.listening.ws_port, values.listening.tcp_port),
    )
    return _indented(msgspec.json.encode(described))


def _clients(values: Settings, interface: Interface) -> clients.Clients:
    return clients.of_namespaces(interface, has_tokens=values.identity.auth_mode == "jwt")


def _indented(document: bytes) -> str:
    return f"{msgspec.json.format(document, indent=2).decode()}\n"
