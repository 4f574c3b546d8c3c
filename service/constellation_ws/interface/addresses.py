"""Where backends are: their addresses, split and checked. Pure; nothing is resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

_NEST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")


def split_nest(address: str) -> tuple[str, int] | None:
    """Split `host:port`, also `[::1]:4000`; None where it is no such address."""
    match = _NEST.fullmatch(address)
    if match is None or not 1 <= int(match["port"]) <= 65_535:
        return None
    return match["ipv6"] or match["host"], int(match["port"])


def url_faults(url: str) -> Iterator[str]:
    """Say what is wrong with the URL of a backend, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not is_plain(url):
        yield "http must be a URL such as https://orders-api:8080/gateway"
        return
    if "@" in parts.netloc:
        yield "http must hold no credentials; name a variable with a key in key_variable"
    if "?" in url or "#" in url:
        yield "http must have neither a query nor a fragment"


def is_path(path: str) -> bool:
    """Return whether a path can be appended to a URL, and stays below it."""
    segments = unquote(path).split("/")
    return is_plain(path) and not set("?#").intersection(path) and ".." not in segments


def is_plain(text: str) -> bool:
    """Return whether a URL, or the path of one, may hold the text as it is."""
    return text.isascii() and text.isprintable() and not set(text).intersection(' "<>\\^`{|}')
