"""The table -> types for socket.io-client: what clients receive and send, by namespace. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from constellation_ws import __version__
from constellation_ws.interface import built_in
from constellation_ws.interface.rows import RequestRow
from constellation_ws.schema import keys
from constellation_ws.schema.clients import ClientInterface, Clients
from constellation_ws.schema.keys import Key

VALUES: Mapping[str, str] = {
    "string": "string",
    "number": "number",
    "boolean": "boolean",
    "id": "Id",
    "list": "unknown[]",
    "object": "Record<string, unknown>",
}
"""What each type of the table is."""
_OWN_VALUES: Mapping[str, str] = {keys.IDS: "Id | Id[]", keys.USERS: "string[]"}

_BEGINNING = f"""\
// Made by `constellation-ws schema --typescript`, version {__version__}. For socket.io-client:
//   const socket: Socket<ServerToClientEvents["/chats"], ClientToServerEvents["/chats"]> = io(url)

/** A string that is not empty, or a number with a whole value. */
export type Id = string | number

/** The ack of a request that is refused. */
export interface Refusal {{
  success: false
  error: {{ code: string; message: string }}
}}

/** The ack of a request that joins or leaves rooms, or watches users. */
export type Result<Data> = {{ success: true; data: Data }} | Refusal

/** The ack of a request for which no backend answers: it was sent on. */
export type Sent = {{ success: true }} | Refusal

/** The ack of a request to a backend: a Refusal, or what the backend answers. */
export type BackendResult = unknown
"""
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def document(namespaces: Clients) -> str:
    """Write the module."""
    received = {one.name: _received(one) for one in namespaces}
    sent = {one.name: _sent(one) for one in namespaces}
    return "\n".join(
        [
            _BEGINNING,
            "/** What clients receive, by namespace. */",
            _interface("ServerToClientEvents", received),
            "/** What clients send, by namespace. */",
            _interface("ClientToServerEvents", sent),
        ]
    )


def _interface(name: str, namespaces: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"export interface {name} {{"]
    for namespace, events in namespaces.items():
        lines.append(f"  {json.dumps(namespace)}: {{")
        lines += [f"    {json.dumps(event)}: {called}" for event, called in events.items()]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _received(namespace: ClientInterface) -> Mapping[str, str]:
    return {
        event: f"(data: {_any_of(_object(keys.of_event(row)) for row in rows)}) => void"
        for event, rows in namespace.events.items()
    }


def _sent(namespace: ClientInterface) -> Mapping[str, str]:
    return {
        row.event: f"(data: {_argument(row)}, ack: (result: {_result(row)}) => void) => void"
        for row in namespace.requests
    }


def _argument(row: RequestRow) -> str:
    found = keys.of_request(row)
    if not found:
        return "unknown"
    bare = [_value(key) for key in found if key.name == row.bare]
    return _any_of([_object(found, is_open=row.to is not None), *bare])


def _result(row: RequestRow) -> str:
    if row.to in ("channel", "log"):
        return "Sent"
    if row.to is not None:
        return "BackendResult"
    answer = built_in.answer_types(row)
    return f"Result<{_object(keys.of_answer(row) if answer is None else keys.of_types(answer))}>"


def _object(found: Iterable[Key], *, is_open: bool = False) -> str:
    """Write an object type; an open one may have keys that the table does not name."""
    fields = [f"{_name(key.name)}{'' if key.is_required else '?'}: {_value(key)}" for key in found]
    fields += ["[key: string]: unknown"] if is_open else []
    return f"{{ {'; '.join(fields)} }}" if fields else "{}"


def _value(key: Key) -> str:
    if key.type is None:
        return "unknown"
    if key.type in _OWN_VALUES:
        return _OWN_VALUES[key.type]
    return VALUES[key.type] if key.is_required else f"{VALUES[key.type]} | null"


def _any_of(options: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(options))


def _name(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else json.dumps(key)
