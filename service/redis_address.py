"""Where Redis is: addresses that are checked before they are used, and labels fit for logs.

Nothing here connects. No error holds any part of an address, since it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

_NETWORK_SCHEMES = ("redis", "rediss")
_SENTINEL = "+sentinel"
_CLUSTER = "+cluster"
_SENTINEL_PORT = 26379
_PORT = 6379
_SENTINEL_PATH = re.compile(r"/([0-9]+)/([A-Za-z0-9_.-]+)")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)
_DATABASE = re.compile(r"(/[0-9]*)?")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are, and which primary they watch for us."""

    nodes: tuple[tuple[str, int], ...]
    service: str
    primary: dict[str, Any]
    """How to connect to the primary, as redis-py names it."""
    password: str | None
    """The Sentinels' own; None where they ask for none."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where some nodes of a Redis Cluster are; they tell of the others."""

    nodes: tuple[tuple[str, int], ...]
    options: dict[str, Any]
    """How to connect to any of them, as redis-py names it."""


def read_cluster(url: str) -> ClusterAddress | None:
    """Read `redis+cluster://user:password@host:port,host:port`; None for others.

    `rediss+cluster` is TLS to all of them. There is one database. Raises ValueError.
    """
    parts = _split(url)
    scheme, plus, _ = parts.scheme.partition(_CLUSTER)
    if not plus:
        return None
    if scheme not in _NETWORK_SCHEMES or parts.path.strip("/") not in ("", "0") or parts.query:
        raise ValueError("not a Cluster URL")
    nodes, credentials = _read_nodes(parts.netloc, _PORT)
    return ClusterAddress(nodes, {"ssl": scheme == "rediss", **credentials})


def read_sentinel(url: str) -> SentinelAddress | None:
    """Read `redis+sentinel://user:password@host:port,host:port/database/name`; None for others.

    `rediss+sentinel` is TLS to all of them, `?sentinel_password=` the Sentinels' own password.
    Raises ValueError.
    """
    parts = _split(url)
    scheme, plus, _ = parts.scheme.partition(_SENTINEL)
    if not plus:
        return None
    path = _SENTINEL_PATH.fullmatch(parts.path)
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if scheme not in _NETWORK_SCHEMES or path is None or options.keys() - {"sentinel_password"}:
        raise ValueError("not a Sentinel URL")
    nodes, credentials = _read_nodes(parts.netloc, _SENTINEL_PORT)
    primary = {"db": int(path[1]), "ssl": scheme == "rediss", **credentials}
    return SentinelAddress(nodes, path[2], primary, options.get("sentinel_password"))


def _read_nodes(
    netloc: str, default_port: int
) -> tuple[tuple[tuple[str, int], ...], dict[str, str | None]]:
    """Read `user:password@host:port,host`; the credentials as redis-py names them."""
    credentials, _, hosts = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    named = {"username": unquote(user) or None, "password": unquote(password) or None}
    return tuple(_read_node(node, default_port) for node in hosts.split(",")), named


def _read_node(node: str, default_port: int) -> tuple[str, int]:
    host, colon, port = node.rpartition(":")
    if not colon:
        host, port = node, str(default_port)
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError("not a port")
    return check_host(host.strip("[]")), int(port)


def check_url(url: str) -> str:
    """Give back a URL that means what it seems to mean. Raises ValueError.

    Stricter than redis-py, which takes half a password for a host, and database 0 where the path is
    no number: both come from a password whose `/`, `?`, `#` or `@` is not percent-encoded.
    """
    parts = _split(url)
    if "#" in url or parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise ValueError("not percent-encoded")
    if read_sentinel(url) is not None or read_cluster(url) is not None:
        return url
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("no path")
    elif parts.scheme in _NETWORK_SCHEMES and _DATABASE.fullmatch(parts.path):
        check_host(parts.hostname or "")
    else:
        raise ValueError("not a Redis URL")
    _try(url)
    return url


def tls_options(url: str) -> dict[str, str]:
    """Give those options of a checked URL that begin with `ssl_`, as redis-py names them."""
    options = parse_qsl(_split(url).query)
    return {name: value for name, value in options if name.startswith("ssl_")}


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
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult:
    """Split a URL. Raises ValueError.

    One that lists hosts is split here: whether urllib takes more than one, one of them in brackets,
    depends on Python's patch release.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme.endswith((_SENTINEL, _CLUSTER)):
        address, _, query = rest.partition("?")
        netloc, slash, path = address.partition("/")
        return SplitResult(scheme, netloc, slash + path, query, "")
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
