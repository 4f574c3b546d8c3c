"""Where Redis is: addresses that are checked before they are used, and labels fit for logs.

Nothing here connects. No error holds any part of an address, since it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

_NETWORK_SCHEMES = ("redis", "rediss")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)
_DATABASE = re.compile(r"(/[0-9]*)?")


def check_url(url: str) -> str:
    """Give back a URL that means what it seems to mean. Raises ValueError.

    Stricter than redis-py, which takes half a password for a host, and database 0 where the path is
    no number: both come from a password whose `/`, `?`, `#` or `@` is not percent-encoded.
    """
    parts = _split(url)
    if "#" in url or parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise ValueError("not percent-encoded")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("no path")
    elif parts.scheme in _NETWORK_SCHEMES and _DATABASE.fullmatch(parts.path):
        check_host(parts.hostname or "")
    else:
        raise ValueError("not a Redis URL")
    _try(url)
    return url


def check_host(host: str) -> str:
    """Give back a host name or an IP address. Raises ValueError."""
    if not _HOST.fullmatch(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("not a host") from None
    return host


def url_of(host: str, port: int, password: str, database: int) -> str:
    """Write the URL of a checked host."""
    credentials = f":{quote(password, safe='')}@" if password else ""
    bracketed = f"[{host}]" if ":" in host else host
    return f"redis://{credentials}{bracketed}:{port}/{database}"


def label(url: str) -> str:
    """Name a checked URL without its credentials and its query, which may hold some too."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("not a URL") from None  # urllib's errors quote it


def _try(url: str) -> None:
    """Let redis-py read the port and the options now; it would object at the first connection."""
    try:
        pool: Any = ConnectionPool.from_url(url)  # its methods carry no types
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        raise ValueError("not readable") from None  # redis-py's errors quote the address
