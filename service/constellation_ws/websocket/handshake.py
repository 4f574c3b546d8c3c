"""The opening handshake: accepts or refuses a request, and writes the response.

Lives here: what RFC 6455 section 4.2 requires. Not here: parsing HTTP, which paths and origins are
served, and whether there is room for one more connection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, values stripped: as uvicorn gives them."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
_NONCE_BYTES: Final = 16
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"upgrade: websocket\r\n"
    b"connection: Upgrade\r\n"
    b"sec-websocket-accept: %b\r\n"
)
_SUBPROTOCOL: Final = b"sec-websocket-protocol: %b\r\n"
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONSIDERED: Final = frozenset(
    (
        b"host",
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
    )
)


@dataclass(frozen=True, slots=True)
class Accept:
    """The request is valid. The fields are for `upgrade_response`."""

    key: bytes
    subprotocol: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The response instead of 101; the connection is closed after it."""

    status: HTTPStatus
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def check_upgrade(method: bytes, version: bytes, headers: Headers) -> Accept | Refuse:
    """Decide about an opening handshake from its request line (`GET`, `HTTP/1.1`) and headers.

    Extensions are never negotiated. The first offered subprotocol is accepted: it has no effect,
    but in a browser the handshake fails if none is chosen.
    """
    if method != b"GET":
        return _refuse(
            HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket handshake requires GET.", (b"allow", b"GET")
        )
    if version != b"HTTP/1.1":
        return _refuse(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "A WebSocket handshake requires HTTP/1.1."
        )
    found = _considered(headers)
    if len(found[b"host"]) != 1:
        return _refuse(HTTPStatus.BAD_REQUEST, "Exactly one Host header is required.")
    if not _lists(b"websocket", found[b"upgrade"]):
        return _require_upgrade("The header Upgrade: websocket is required.")
    if not _lists(b"upgrade", found[b"connection"]):
        return _refuse(HTTPStatus.BAD_REQUEST, "The header Connection: upgrade is required.")
    if found[b"sec-websocket-version"] != [_VERSION]:
        return _require_upgrade("Only version 13 of the WebSocket protocol is supported.")
    keys = found[b"sec-websocket-key"]
    if len(keys) != 1 or not _is_nonce(keys[0]):
        return _refuse(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64.")
    return _agree(keys[0], found[b"sec-websocket-protocol"])


def accept_key(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept value that proves this key was read."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def upgrade_response(accept: Accept) -> bytes:
    """Build the 101 response to an accepted request."""
    response = _SWITCHING % accept_key(accept.key)
    if accept.subprotocol is not None:
        response += _SUBPROTOCOL % accept.subprotocol
    return response + b"\r\n"


def refusal_response(refuse: Refuse) -> bytes:
    """Build the response to a refused request, after which the connection is closed."""
    framing = (
        (b"connection", b"close"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(refuse.body)),
    )
    return _head(refuse.status, dict.fromkeys((*refuse.headers, *framing))) + refuse.body


def _agree(key: bytes, offers: list[bytes]) -> Accept | Refuse:
    if not offers:
        return Accept(key)
    first = offers[0].partition(b",")[0].strip(b" \t")
    if not _TOKEN.fullmatch(first):
        return _refuse(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Protocol is not a list of tokens.")
    return Accept(key, first)


def _considered(headers: Headers) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {name: [] for name in _CONSIDERED}
    for name, value in headers:
        if name in _CONSIDERED:
            found[name].append(value)
    return found


def _lists(token: bytes, values: list[bytes]) -> bool:
    """Return whether a header lists a token, which most often is its whole value."""
    if len(values) == 1 and values[0].lower() == token:
        return True
    listed = (one for value in values for one in value.split(b","))
    return any(one.strip(b" \t").lower() == token for one in listed)


def _is_nonce(key: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == _NONCE_BYTES
    except binascii.Error:
        return False


def _require_upgrade(sentence: str) -> Refuse:
    return _refuse(
        HTTPStatus.UPGRADE_REQUIRED,
        sentence,
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", _VERSION),
    )


def _refuse(status: HTTPStatus, sentence: str, *headers: tuple[bytes, bytes]) -> Refuse:
    return Refuse(status, headers, sentence.encode())


def _head(status: HTTPStatus, headers: Headers) -> bytes:
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
    lines.extend(b"%b: %b\r\n" % header for header in headers)
    lines.append(b"\r\n")
    return b"".join(lines)
