"""Which pages may connect: the origins that browsers send, and the patterns that allow them.

An origin is what RFC 6454 section 6.2 writes: `scheme://host[:port]` in lower case, without the
port that its scheme implies; or `null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Names in lower case."""

ANY = "*"
OPAQUE = "null"
"""What a browser sends for a page without an origin: a sandboxed frame, a `data:` URL, a file."""

_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]+|\*")
_HOSTLESS = frozenset({"file"})
"""Schemes that have no host: WebViews of apps send `file://`."""


class BadOrigin(ValueError):
    """An allowed origin that no page can have; `str()` is the reason, without the value."""


def normalized(text: str) -> str:
    """Return an origin, or a pattern of origins, in the form that browsers send.

    Raises BadOrigin. In a pattern `*` stands for one label of the host.
    """
    text = text.lower()
    if text in (ANY, OPAQUE):
        return text
    if (match := _URL.fullmatch(text)) is None:
        raise BadOrigin("write scheme://host or scheme://host:port, without path or slash")
    scheme, host, port = match.groups()
    if not host:
        if scheme in _HOSTLESS and port is None:
            return text
        raise BadOrigin("it has no host")
    if not host.startswith("["):
        host = _ascii(host)
    return f"{scheme}://{host}" + _shown_port(scheme, port)


def _ascii(host: str) -> str:
    """Return a host as browsers write it. Raises BadOrigin."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise BadOrigin("its host is not a valid name") from error
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        raise BadOrigin("its host is not a name; `*` must be a whole label: https://*.example.com")
    if "*" in labels[-2:]:
        raise BadOrigin("`*` is only possible to the left of a domain, as in https://*.example.com")
    return host


def _shown_port(scheme: str, port: str | None) -> str:
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return ""
    if int(port) > 65_535:
        raise BadOrigin("its port is above 65535")
    return f":{int(port)}"


class Origins:
    """The pages that may connect: those of a list, and those of the gateway's own host."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Raises BadOrigin. `*` stands for all pages."""
        patterns = frozenset(map(normalized, allowed))
        self._allows_all = ANY in patterns
        self._exact = frozenset(one for one in patterns if "*" not in one)
        self._wildcards = tuple(map(_compiled, patterns - self._exact - {ANY}))

    def refused(self, headers: Headers) -> str | None:
        """Return the origin of a page that may not connect; None if the client may.

        Programs other than browsers send no origin, and could send any, so they may connect.
        """
        if self._allows_all:
            return None
        asked = dict(headers)
        said = asked.get(b"origin")
        if said is None:
            return None
        origin = said.decode("latin-1")
        return None if self._allows(origin) or _is_own(origin, asked) else origin

    def _allows(self, origin: str) -> bool:
        try:
            origin = normalized(origin)
        except BadOrigin:
            return False
        if origin in self._exact:
            return True
        return any(pattern.fullmatch(origin) for pattern in self._wildcards)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "[a-z0-9_-]+"))


def _is_own(origin: str, headers: dict[bytes, bytes]) -> bool:
    """Return whether a page was loaded from the host that it connects to, behind one ingress.

    If a proxy reports that it has terminated TLS, a page that was loaded without TLS is not
    accepted: anybody on the network could have changed it.
    """
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in ("http", "https") or not authority:
        return False
    forwarded = headers.get(b"x-forwarded-proto", b"").partition(b",")[0].strip().lower()
    if forwarded in (b"https", b"wss") and scheme != "https":
        return False
    host = headers.get(b"host", b"").decode("latin-1").lower()
    default = f":{_DEFAULT_PORTS[scheme]}"
    return bool(host) and authority.removesuffix(default) == host.removesuffix(default)
