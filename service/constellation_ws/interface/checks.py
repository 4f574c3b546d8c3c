"""What is wrong with rows that could be read: each alone, and all of them together. Pure.

A fault is one line: file, section, number and name of the row, and what to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from constellation_ws.interface import addresses, request_checks, route_checks
from constellation_ws.interface.reading import DEFAULT, Placed, Reader, closest, shown
from constellation_ws.interface.rows import BackendRow, NamespaceRow, RequestRow, RouteRow
from constellation_ws.interface.surroundings import Deployment, Surroundings

_R = TypeVar("_R", NamespaceRow, BackendRow, RequestRow, RouteRow)

_NAMESPACE = re.compile(r"/[^\s,#?]*")
_BACKEND = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MAX_TIMEOUT_MS = 60_000
MAX_CONCURRENT = 10_000


def find_faults(reader: Reader, deployment: Deployment) -> Iterator[str]:
    """Find every fault of the rows that could be read, and of what they name."""
    around = Surroundings(
        {row.name: row for _, row in reader.namespaces},
        reader.named["namespace"],
        {row.name: row for _, row in reader.backends},
        reader.named["backend"],
        deployment,
    )
    if not around.namespace_names:
        yield f'the table has no [[namespace]]; add one, or begin it with extends = "{DEFAULT}"'
    yield from _each(reader.namespaces, _namespace_faults)
    yield from _each(reader.backends, lambda row: _backend_faults(row, deployment))
    yield from _each(reader.requests, lambda row: _reference_faults(row, around))
    yield from _each(reader.requests, lambda row: request_checks.faults(row, around))
    yield from _each(reader.routes, lambda row: _reference_faults(row, around))
    yield from _each(reader.routes, lambda row: route_checks.faults(row, around))
    yield from _repeated(reader.namespaces, lambda row: row.name, "the namespace")
    yield from _repeated(reader.backends, lambda row: row.name, "the backend")
    yield from _repeated(reader.requests, lambda row: (row.namespace, row.event), "the request")
    yield from _repeated(reader.routes, lambda row: row.channel, "the channel")
    for place, fault in request_checks.watch_faults_together(reader.requests):
        yield f"{place}: {fault}"
    yield from _unused(reader)


def _each(placed: Iterable[Placed[_R]], faults: Callable[[_R], Iterable[str]]) -> Iterator[str]:
    for place, row in placed:
        for fault in faults(row):
            yield f"{place}: {fault}"


def _namespace_faults(row: NamespaceRow) -> Iterator[str]:
    if not _NAMESPACE.fullmatch(row.name) or not row.name.isprintable():
        yield 'name must begin with "/" and hold no space, comma, # or ? such as "/orders"'


def _backend_faults(row: BackendRow, deployment: Deployment) -> Iterator[str]:
    if not _BACKEND.fullmatch(row.name):
        yield "name must be 1 to 64 letters, digits and ._-"
    if bool(row.nest) == bool(row.http):
        yield "it must have exactly one of nest and http"
    if row.nest and addresses.split_nest(row.nest) is None:
        yield 'nest must be a host and a port such as "orders-api:4000"'
    if row.http:
        yield from addresses.url_faults(row.http)
    if not 1 <= row.timeout_ms <= MAX_TIMEOUT_MS:
        yield f"timeout_ms must be from 1 to {MAX_TIMEOUT_MS}"
    if not 1 <= row.max_concurrent <= MAX_CONCURRENT:
        yield f"max_concurrent must be from 1 to {MAX_CONCURRENT}"
    if row.key_variable:
        yield from _key_faults(row, deployment)


def _key_faults(row: BackendRow, deployment: Deployment) -> Iterator[str]:
    if row.nest:
        yield "key_variable is only for http: NestJS TCP has no signatures"
    if not _VARIABLE.fullmatch(row.key_variable):
        yield "key_variable must be the name of an environment variable, not the key itself"
    elif deployment.environment is not None and not deployment.environment.get(row.key_variable):
        yield f"{row.key_variable} is not set in the environment; key_variable requires it"


def _reference_faults(row: RequestRow | RouteRow, around: Surroundings) -> Iterator[str]:
    names = around.namespace_names
    if names and row.namespace not in names:
        known = closest(row.namespace, names) or f"; it has {', '.join(map(shown, names))}"
        yield f"the table has no [[namespace]] {shown(row.namespace)}{known}"


def _repeated(
    placed: Iterable[Placed[_R]], identify: Callable[[_R], object], what: str
) -> Iterator[str]:
    first: dict[object, str] = {}
    for place, row in placed:
        earlier = first.setdefault(identify(row), place)
        if earlier is not place:
            yield f"{place}: {what} has an entry already, {earlier}; remove one of them"


def _unused(reader: Reader) -> Iterator[str]:
    used = {row.backend for _, row in reader.requests}
    if "request" in reader.unreadable:
        return  # it may use any of them
    for place, row in reader.backends:
        if row.name not in used:
            yield f"{place}: no request uses this backend; remove it, or name it in a request"
