"""The interface table: all that crosses the gateway. Read and checked once, at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from constellation_ws.interface.checks import find_faults
from constellation_ws.interface.reading import Placed, Reader
from constellation_ws.interface.rows import BackendRow, NamespaceRow, RequestRow, RouteRow
from constellation_ws.interface.surroundings import Deployment
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.redis_io.names import DEFAULT_PREFIX


class InvalidInterface(ValueError):
    """The table cannot be used; `str()` has a line per fault: file, entry, and what to change."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A table without faults; every request and route names its namespace."""

    namespaces: tuple[NamespaceRow, ...]
    """At least one; the first is the default of rows that name none."""
    backends: tuple[BackendRow, ...]
    requests: tuple[RequestRow, ...]
    routes: tuple[RouteRow, ...]

    @property
    def watches(self) -> bool:
        """Whether clients may watch who is online."""
        return any(row.watches for row in self.requests)


def load(
    file: Path | None = None,
    routes_file: Path | None = None,
    *,
    own_prefix: str = DEFAULT_PREFIX,
    emitters: EmitterChannels = DEFAULT_EMITTERS,
    environment: Mapping[str, str] | None = None,
) -> Interface:
    """Read the table, by default the gateway's own, and add the routes of `routes_file`.

    No event may use a channel that begins with `own_prefix`, nor one of `emitters`. Keys of
    backends must be in `environment`; None checks none of them. Raises InvalidInterface.
    """
    reader = Reader()
    if file is None:
        reader.add_default()
    else:
        reader.add_interface(file)
    if routes_file is not None:
        reader.add_routes(routes_file)
    _fill_in(reader)
    faults = reader.faults
    if reader.is_complete:
        deployment = Deployment(own_prefix, emitters, environment)
        faults = [*faults, *find_faults(reader, deployment)]
    if faults:
        raise InvalidInterface("\n".join(faults))
    return Interface(
        tuple(row for _, row in reader.namespaces),
        tuple(row for _, row in reader.backends),
        tuple(row for _, row in reader.requests),
        tuple(row for _, row in reader.routes),
    )


def _fill_in(reader: Reader) -> None:
    """Write into each row what it leaves to the table."""
    first = next(iter(reader.named["namespace"]), "")
    reader.requests = [
        Placed(
            place,
            msgspec.structs.replace(row, namespace=row.namespace or first, pattern=_pattern(row)),
        )
        for place, row in reader.requests
    ]
    reader.routes = [
        Placed(place, msgspec.structs.replace(row, namespace=row.namespace or first))
        for place, row in reader.routes
    ]


def _pattern(row: RequestRow) -> str:
    return row.event if row.to == "nest" and not row.pattern else row.pattern
