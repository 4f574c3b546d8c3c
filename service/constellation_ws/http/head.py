"""Checks of an HTTP request's head, as RFC 9112 requires them. Pure.

Lives here: the target, the Host header, and offers to switch to another protocol. Not here: which
paths are served, and the headers of a WebSocket handshake.
"""

from __future__ import annotations

import re

import httptools

from constellation_ws.http.refusals import BAD_HOST, NOT_HTTP
from constellation_ws.messages.admission import Refusal

Headers = list[tuple[bytes, bytes]]
"""Names in lower case."""

# A registered name, an address, `[::1]`, each with or without a port. Empty is allowed.
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+;=-]*(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
_OFFER = frozenset((b"upgrade", b"http2-settings"))


def check_host(version: str, headers: Headers) -> Refusal | None:
    """Require one Host header (RFC 9112 section 3.2); HTTP/1.0 may have none."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) == 1:
        return None if _HOST.fullmatch(hosts[0]) else BAD_HOST
    return BAD_HOST if hosts or version != "1.0" else None


def origin_form(target: bytes, headers: Headers) -> tuple[bytes, Headers] | Refusal:
    """Return the path and query of a target that is a URL, and the headers with the URL's host.

    Clients that use a proxy send such a target, and its host then replaces the Host header (RFC
    9112 section 3.2.2). A target that is neither a path nor a URL is refused.
    """
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return NOT_HTTP
    if not url.schema or not url.host:
        return NOT_HTTP
    host = url.host if b":" not in url.host else b"[%b]" % url.host
    host += b":%d" % url.port if url.port else b""
    query = b"?" + url.query if url.query else b""
    others = [(name, value) for name, value in headers if name != b"host"]
    return (url.path or b"/") + query, [(b"host", host), *others]


def without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return a request's head without its offer of another protocol, such as h2c.

    The HTTP clients of Java and Ktor make such an offer with every request, even if it has a body.
    It may be ignored (RFC 9110 section 7.8), but the parser assumes that the bytes after an offer
    belong to the other protocol.
    """
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] not in _OFFER]
    return b"\r\n".join([*lines, b"", b""])
