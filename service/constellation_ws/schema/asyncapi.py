"""The AsyncAPI document: Socket.IO as clients see it, Redis channels, and TCP patterns. Pure.

Its application is the gateway: it receives what clients send, and sends what they receive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from constellation_ws import __version__
from constellation_ws.backends.request import BackendRequest
from constellation_ws.interface import built_in
from constellation_ws.interface.rows import RequestRow, RouteRow
from constellation_ws.nest.rpc import TcpRequest
from constellation_ws.nest.shapes import Accepted
from constellation_ws.schema import json_schemas, keys
from constellation_ws.schema.clients import ClientInterface, Clients
from constellation_ws.schema.json_schemas import Json

_DESCRIPTION = (
    "What crosses the gateway: events and requests of Socket.IO clients, the Redis channels on "
    "which events are published, and the patterns of the TCP port for NestJS."
)

_UNUSUAL = re.compile(r"[^A-Za-z0-9_.:/-]")


@dataclass(frozen=True, slots=True)
class Ports:
    """On which ports the gateway listens."""

    socketio: int
    tcp: int


@dataclass(slots=True)
class _Draft:
    """A document that is being written."""

    components: Json
    channels: Json = field(default_factory=dict)
    operations: Json = field(default_factory=dict)

    def channel(self, server: str, address: str, summary: str) -> _Channel:
        """Give a channel of a server, a new one where there is none of this address."""
        name = f"{server}:{_key(address)}"
        described: Json = {
            "address": None if set("{}").intersection(address) else address,  # braces: parameters
            "title": address,
            "summary": summary,
            "servers": [{"$ref": f"#/servers/{server}"}],
            "messages": {},
        }
        return _Channel(self, name, self.channels.setdefault(name, described)["messages"])


@dataclass(frozen=True, slots=True)
class _Channel:
    draft: _Draft
    name: str
    messages: Json

    def message(self, kind: str, event: str, payload: Json) -> Json:
        """Add a message, and give a reference to it; `kind` is one of a few fixed words."""
        key = f"{kind}:{_key(event)}"
        self.messages[key] = {"name": event, "title": f"{event} ({kind})", "payload": payload}
        return {"$ref": f"{self.reference}/messages/{_pointer(key)}"}

    @property
    def reference(self) -> str:
        return f"#/channels/{_pointer(self.name)}"

    def operate(self, action: str, event: str, message: Json, reply: Json | None = None) -> None:
        """Add an operation of the gateway on the channel."""
        operation: Json = {"action": action, "channel": {"$ref": self.reference}}
        operation["messages"] = [message]
        if reply is not None:
            operation["reply"] = {"channel": {"$ref": self.reference}, "messages": [reply]}
        self.draft.operations[f"{action}:{_key(event)}@{self.name}"] = operation


def document(
    namespaces: Clients,
    routes: Iterable[RouteRow],
    patterns: Mapping[str, TcpRequest],
    ports: Ports,
) -> Json:
    """Describe the clients' namespaces, the routes and the patterns of the TCP port's own."""
    shapes = [one for row in patterns.values() for one in (row.request, row.answer)]
    schemas, components = msgspec.json.schema_components(
        [BackendRequest, Accepted, *shapes], ref_template="#/components/schemas/{name}"
    )
    payload, accepted, *rest = schemas
    draft = _Draft(components)
    for namespace in namespaces:
        _add_namespace(draft, namespace)
        _add_forwarded(draft, namespace, payload)
    for route in routes:
        _add_route(draft, route, accepted)
    for name, request, answer in zip(patterns, rest[::2], rest[1::2], strict=True):
        _add_pattern(draft, name, request, answer)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Constellation WS",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": _servers(ports),
        "channels": draft.channels,
        "operations": draft.operations,
        "components": {"schemas": draft.components},
    }


def _servers(ports: Ports) -> Json:
    host = {"host": {"default": "localhost", "description": "Where the gateway is."}}
    return {
        "socketio": {
            "host": f"{{host}}:{ports.socketio}",
            "pathname": "/socket.io/",
            "protocol": "socketio",
            "protocolVersion": "5",
            "description": "Socket.IO. A channel is a namespace, a message the argument of an "
            "event; what is replied is the argument of the ack.",
            "variables": host,
        },
        "redis": {
            "host": "{redis}",
            "protocol": "redis",
            "description": "Redis Pub/Sub. A message is one JSON object.",
            "variables": {
                "redis": {"default": "localhost:6379", "description": "As REDIS_URL says."}
            },
        },
        "tcp": {
            "host": f"{{host}}:{ports.tcp}",
            "protocol": "nestjs",
            "description": "NestJS, Transport.TCP. A channel is a pattern, a message the `data` of "
            "a request; what is replied is the `response`.",
            "variables": host,
        },
    }


def _add_namespace(draft: _Draft, namespace: ClientInterface) -> None:
    channel = draft.channel("socketio", namespace.name, "A namespace")
    for event, rows in namespace.events.items():
        payload = json_schemas.any_of(json_schemas.of_event(row) for row in rows)
        channel.operate("send", event, channel.message("event", event, payload))
    for row in namespace.requests:
        request = channel.message("request", row.event, json_schemas.of_request(row))
        ack = channel.message("ack", row.event, _ack(row))
        channel.operate("receive", row.event, request, ack)


def _ack(row: RequestRow) -> Json:
    if row.to in ("channel", "log"):
        accepted = json_schemas.success()
    elif row.to is not None:
        return {}  # what the backend answers
    else:
        types = built_in.answer_types(row)
        answer = keys.of_answer(row) if types is None else keys.of_types(types)
        accepted = json_schemas.success(json_schemas.object_of(answer))
    return json_schemas.any_of([accepted, json_schemas.REFUSED])


def _add_forwarded(draft: _Draft, namespace: ClientInterface, payload: Json) -> None:
    """Add the channels on which requests of clients are published."""
    for row in namespace.requests:
        if row.to != "channel":
            continue
        channel = draft.channel("redis", row.channel, "A Redis channel")
        data = {"properties": {"data": json_schemas.of_request(row)}}
        sender = f"{row.event} of {namespace.name}"  # no namespace has a space
        message = channel.message("request", sender, {"allOf": [payload, data]})
        channel.operate("send", sender, message)


def _add_route(draft: _Draft, row: RouteRow, accepted: Json) -> None:
    """Add the channel of a route, and the pattern of the same name."""
    payload = json_schemas.of_publication(row)
    channel = draft.channel("redis", row.channel, "A Redis channel")
    channel.operate("receive", row.event, channel.message("event", row.event, payload))
    _add_pattern(draft, row.channel, payload, accepted)


def _add_pattern(draft: _Draft, name: str, request: Json, answer: Json) -> None:
    channel = draft.channel("tcp", name, "A pattern")
    response = json_schemas.any_of([json_schemas.success(answer), json_schemas.REFUSED])
    asked = channel.message("request", name, request)
    channel.operate("receive", name, asked, channel.message("response", name, response))


def _key(name: str) -> str:
    """Make a part of a key from a name of the table; another name makes another part.

    Keys with ~, % and the like are lawful, but @asyncapi/parser does not find them by reference.
    Without an @, so that one may stand between two parts.
    """
    return _UNUSUAL.sub(lambda match: f"!{ord(match[0]):x}!", name)


def _pointer(key: str) -> str:
    return key.replace("/", "~1")
