"""Every refusal of the public port, and the HTTP response that a client gets for each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from constellation_ws.messages.admission import DRAINING, Refusal
from constellation_ws.websocket import Refuse

UNKNOWN_TRANSPORT = Refusal("unknown_transport", "Transport unknown")
NO_UPGRADE = Refusal(
    "no_upgrade",
    "The WebSocket request has no Upgrade and Connection headers: a proxy has removed them. "
    "nginx needs `proxy_http_version 1.1`, `proxy_set_header Upgrade $http_upgrade` "
    'and `proxy_set_header Connection "upgrade"`.',
)
OLD_HTTP = Refusal(
    "old_http",
    "A WebSocket requires HTTP/1.1, but this request has HTTP/1.0, most likely from a proxy. "
    "nginx needs `proxy_http_version 1.1`.",
)
UNKNOWN_SESSION = Refusal("unknown_session", "Session ID unknown")
BAD_METHOD = Refusal("bad_method", "Bad handshake method")
BAD_REQUEST = Refusal("bad_request", "Bad request")
FORBIDDEN_ORIGIN = Refusal("forbidden_origin", "Forbidden")
UNSUPPORTED_VERSION = Refusal("unsupported_version", "Unsupported protocol version")
PAYLOAD_TOO_LARGE = Refusal("payload_too_large", "Payload too large")
TOO_SLOW = Refusal("too_slow", "The request was not completed in time")
TOO_MANY_CONNECTIONS = Refusal(
    "overloaded", "This server is full: connect again.", is_temporary=True
)
TOO_MANY_FROM_ADDRESS = Refusal(
    "too_many_from_address", "Too many connections from your IP address: close some."
)
TOO_MANY_PACKETS = Refusal("packet_flood", "Too many packets: the session is closed.")
TOO_MANY_CONNECTS = Refusal(
    "connect_rate", "Too many connection attempts: connect again.", is_temporary=True
)

# Of HTTP itself, before it is known what is requested.
MAX_HEAD_BYTES = 16_384
"""Node's own limit. Without one a head is collected in memory for as long as it is sent."""
HEAD_TOO_LARGE = Refusal(
    "head_too_large", f"The request headers can have at most {MAX_HEAD_BYTES} bytes."
)
NOT_HTTP = Refusal("not_http", "This is not HTTP.")
BAD_HOST = Refusal("bad_host", "Exactly one valid Host header is required.")
PIPELINED = Refusal("pipelined", "Wait for the response before the upgrade.")
NO_SUCH_PATH = Refusal("no_such_path", "There is no WebSocket at this path; use /socket.io/.")
BAD_HANDSHAKE = Refusal("bad_handshake", "This is not a WebSocket handshake.")
HALF_OPEN = Refusal("half_open", "Too many connections have not sent a request.")
TOO_MANY_IDLE = Refusal("too_many_idle", "Too many connections are idle.")
SLOW_READER = Refusal("slow_reader", "The response was not read.")

# The numbers are those of the reference server, github.com/socketio/engine.io, lib/server.ts.
_RESPONSES: dict[Refusal, tuple[HTTPStatus, int | None]] = {
    UNKNOWN_TRANSPORT: (HTTPStatus.BAD_REQUEST, 0),
    NO_UPGRADE: (HTTPStatus.BAD_REQUEST, 3),
    OLD_HTTP: (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, None),
    UNKNOWN_SESSION: (HTTPStatus.BAD_REQUEST, 1),
    BAD_METHOD: (HTTPStatus.BAD_REQUEST, 2),
    BAD_REQUEST: (HTTPStatus.BAD_REQUEST, 3),
    FORBIDDEN_ORIGIN: (HTTPStatus.FORBIDDEN, 4),
    UNSUPPORTED_VERSION: (HTTPStatus.BAD_REQUEST, 5),
    PAYLOAD_TOO_LARGE: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, None),
    TOO_SLOW: (HTTPStatus.REQUEST_TIMEOUT, None),
    DRAINING: (HTTPStatus.SERVICE_UNAVAILABLE, None),
    TOO_MANY_CONNECTIONS: (HTTPStatus.SERVICE_UNAVAILABLE, None),
    TOO_MANY_FROM_ADDRESS: (HTTPStatus.TOO_MANY_REQUESTS, None),
    TOO_MANY_PACKETS: (HTTPStatus.TOO_MANY_REQUESTS, None),
    TOO_MANY_CONNECTS: (HTTPStatus.SERVICE_UNAVAILABLE, None),
    HEAD_TOO_LARGE: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, None),
    NOT_HTTP: (HTTPStatus.BAD_REQUEST, None),
    BAD_HOST: (HTTPStatus.BAD_REQUEST, None),
    PIPELINED: (HTTPStatus.BAD_REQUEST, None),
    NO_SUCH_PATH: (HTTPStatus.NOT_FOUND, None),
    BAD_HANDSHAKE: (HTTPStatus.BAD_REQUEST, None),
    HALF_OPEN: (HTTPStatus.REQUEST_TIMEOUT, None),
    TOO_MANY_IDLE: (HTTPStatus.REQUEST_TIMEOUT, None),
    SLOW_READER: (HTTPStatus.REQUEST_TIMEOUT, None),
}
_EXTRA_HEADERS: dict[HTTPStatus, tuple[tuple[bytes, bytes], ...]] = {
    # Closed, since a kept connection would lead the next try to this same pod.
    HTTPStatus.SERVICE_UNAVAILABLE: ((b"retry-after", b"1"), (b"connection", b"close")),
    HTTPStatus.TOO_MANY_REQUESTS: ((b"retry-after", b"10"),),
    HTTPStatus.REQUEST_TIMEOUT: ((b"connection", b"close"),),
}

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Only this directive: a page that is more than data adds its own policy, and both hold.
    (b"content-security-policy", b"frame-ancestors 'none'"),
)
"""Headers of every HTTP response."""

FAULTS_OF_PROXIES = {
    NO_UPGRADE: "a proxy removed the Upgrade header of a WebSocket request",
    OLD_HTTP: "a proxy sent a WebSocket request with HTTP/1.0",
}
"""Refusals that an operator has to fix, and how they are logged: nobody reads the response."""


def response_to(refusal: Refusal) -> Refuse:
    """Return the status, further headers and JSON body, in the reference server's form."""
    status, number = _RESPONSES[refusal]
    body: dict[str, Any] = {"message": refusal.message, "data": {"code": refusal.code}}
    if number is not None:
        body = {"code": number, **body}
    return Refuse(status, _EXTRA_HEADERS.get(status, ()), msgspec.json.encode(body))
