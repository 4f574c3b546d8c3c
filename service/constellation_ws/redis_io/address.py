"""Where Redis is: addresses that are checked before they are used, and labels fit for logs.

Nothing here connects. No error holds any part of an address, since it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

from constellation_ws.redis_io.tls import TLS_OPTIONS
from constellation_ws.runtime.listening import bracketed

_NETWORK_SCHEMES = ("redis", "rediss")
_SENTINEL = "+sentinel"
_CLUSTER = "+cluster"
_SENTINEL_PORT = 26379
_PORT = 6379
_SENTINEL_PATH = re.compile(r"/([0-9]+)/([A-Za-z0-9_.-]+)")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)
_DATABASE = re.compile(r"(/[0-9]*)?")
# Of redis-py's options those that a URL may set. The others change what replies are, such as
# `decode_responses`, or take objects: with them a gateway starts and cannot read its own log.
_OPTIONS = TLS_OPTIONS | {
    *("username", "password", "db", "client_name", "protocol", "max_connections"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_read_size"),
    *("retry_on_timeout", "health_check_interval"),
}

Node = tuple[str, int]
"""Host and port of one server."""


class InvalidAddress(ValueError):
    """A URL that cannot be used. `str()` says why, holds no part of the URL, and may be shown."""


@dataclass(frozen=True, slots=True)
class PlainAddress:
    """One Redis that is always at the same address."""

    node: Node
    options: dict[str, Any]
    """How to connect to it, as redis-py names it."""
    tls: dict[str, Any] | None
    """The `ssl_` options, as redis-py names them; None without TLS."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are, and which primary they watch for us."""

    nodes: tuple[Node, ...]
    service: str
    options: dict[str, Any]
    """How to connect to the primary, as redis-py names it."""
    password: str | None
    """The Sentinels' own; None where they ask for none."""
    tls: dict[str, Any] | None
    """The `ssl_` options for the primary and the Sentinels; None without TLS."""


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where some nodes of a Redis Cluster are; they tell of the others."""

    nodes: tuple[Node, ...]
    options: dict[str, Any]
    """How to connect to any of them, as redis-py names it."""
    tls: dict[str, Any] | None
    """The `ssl_` options; None without TLS."""


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A Redis on this machine."""

    options: dict[str, Any]
    """How to connect to it, path included, as redis-py names it."""


Address = PlainAddress | SentinelAddress | ClusterAddress | SocketAddress


def read(url: str) -> Address:
    """Read a URL of any form. Raises ValueError."""
    return read_cluster(url) or read_sentinel(url) or _read_single(url)


def first_node(url: str) -> Node:
    """Return some node of a URL; this machine for a Unix socket."""
    match read(url):
        case PlainAddress(node=node):
            return node
        case SentinelAddress(nodes=nodes) | ClusterAddress(nodes=nodes):
            return nodes[0]
    return "localhost", _PORT


def _read_single(url: str) -> PlainAddress | SocketAddress:
    """Read a URL of redis-py's own forms, with all the options that it knows."""
    options: dict[str, Any] = dict(parse_url(url))
    if "path" in options:
        return SocketAddress(options)
    has_tls = options.pop("connection_class", None) is SSLConnection
    tls = {name: options.pop(name) for name in [*options] if name in TLS_OPTIONS}
    node = (options.pop("host", "localhost"), options.pop("port", _PORT))
    return PlainAddress(node, options, tls if has_tls else None)


def read_cluster(url: str) -> ClusterAddress | None:
    """Read `redis+cluster://user:password@host:port,host:port`; None for others.

    `rediss+cluster` is TLS to all of them, with the `ssl_` options behind a `?`. There is one
    database. Raises InvalidAddress.
    """
    parts = _split(url)
    scheme, plus, _ = parts.scheme.partition(_CLUSTER)
    if not plus:
        return None
    if scheme not in _NETWORK_SCHEMES:
        raise InvalidAddress("the scheme of a Cluster URL is redis+cluster or rediss+cluster")
    if parts.path.strip("/") not in ("", "0"):
        raise InvalidAddress("a Cluster has only database 0")
    _, tls = _read_query(parts.query, scheme, frozenset())
    nodes, credentials = _read_nodes(parts.netloc, _PORT)
    return ClusterAddress(nodes, dict(credentials), tls)


def read_sentinel(url: str) -> SentinelAddress | None:
    """Read `redis+sentinel://user:password@host:port,host:port/database/name`; None for others.

    `rediss+sentinel` is TLS to all of them, with the `ssl_` options behind a `?`;
    `?sentinel_password=` is the Sentinels' own password. Raises InvalidAddress.
    """
    parts = _split(url)
    scheme, plus, _ = parts.scheme.partition(_SENTINEL)
    if not plus:
        return None
    if scheme not in _NETWORK_SCHEMES:
        raise InvalidAddress("the scheme of a Sentinel URL is redis+sentinel or rediss+sentinel")
    path = _SENTINEL_PATH.fullmatch(parts.path)
    if path is None:
        raise InvalidAddress("its path must be the database and the primary's name")
    own, tls = _read_query(parts.query, scheme, frozenset({"sentinel_password"}))
    nodes, credentials = _read_nodes(parts.netloc, _SENTINEL_PORT)
    options = {"db": int(path[1]), **credentials}
    return SentinelAddress(nodes, path[2], options, own.get("sentinel_password"), tls)


def _read_query(
    query: str, scheme: str, own: frozenset[str]
) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Read the options behind the `?`: those that are this form's own, and those of TLS, if any."""
    try:
        found = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError:
        raise InvalidAddress("its query string is not name=value") from None
    if found.keys() - own - TLS_OPTIONS:
        raise InvalidAddress("its query string has an option unknown for this form of URL")
    if found.keys() & TLS_OPTIONS and scheme != "rediss":
        raise InvalidAddress("the options of TLS require a scheme that begins with rediss")
    try:
        parsed: dict[str, Any] = dict(parse_url(f"rediss://host?{query}"))
    except ValueError:
        raise InvalidAddress("an option in its query string has an invalid value") from None
    tls = {name: value for name, value in parsed.items() if name in TLS_OPTIONS}
    mine = {name: value for name, value in found.items() if name in own}
    return mine, tls if scheme == "rediss" else None


def _read_nodes(netloc: str, default_port: int) -> tuple[tuple[Node, ...], dict[str, str | None]]:
    """Read `user:password@host:port,host`; the credentials as redis-py names them."""
    credentials, _, hosts = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    named = {"username": unquote(user) or None, "password": unquote(password) or None}
    return tuple(_read_node(node, default_port) for node in hosts.split(",")), named


def _read_node(node: str, default_port: int) -> Node:
    host, colon, port = node.rpartition(":")
    if not colon:
        host, port = node, str(default_port)
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise InvalidAddress("a port is not a number up to 65535")
    return check_host(host.strip("[]")), int(port)


def check_url(url: str) -> str:
    """Return a URL that means what it seems to mean. Raises InvalidAddress.

    Stricter than redis-py, which reads half a password as a host, and database 0 if the path is no
    number: both come from a password whose `/`, `?`, `#` or `@` is not percent-encoded.
    """
    parts = _split(url)
    if not parts.scheme or "://" not in url:
        raise InvalidAddress("it has no scheme such as redis:")
    if "#" in url or parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise InvalidAddress("its password is not percent-encoded")
    named = read_sentinel(url) or read_cluster(url)
    if named is not None:
        _check_tls(named.tls)
        return url
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise InvalidAddress("it has no path")
    elif parts.scheme not in _NETWORK_SCHEMES:
        raise InvalidAddress("its scheme is not a Redis scheme")
    elif not _DATABASE.fullmatch(parts.path):
        raise InvalidAddress("its database is not a number")
    else:
        check_host(parts.hostname or "")
    _try(url, parts)
    return url


def tls_options(url: str) -> dict[str, str]:
    """Return those options of a checked URL that begin with `ssl_`, as redis-py names them."""
    options = parse_qsl(_split(url).query)
    return {name: value for name, value in options if name.startswith("ssl_")}


def check_host(host: str) -> str:
    """Return a host name or an IP address. Raises InvalidAddress."""
    if not _HOST.fullmatch(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise InvalidAddress("its host is not a host name or an IP address") from None
    return host


def url_of(host: str, port: int, database: int) -> str:
    """Write the URL of a checked host."""
    return f"redis://{bracketed(host)}:{port}/{database}"


def label(url: str) -> str:
    """Name a checked URL without its credentials and its query, which may hold some too."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def label_node(node: Node) -> str:
    """Write a node as in a URL."""
    host, port = node
    return f"{bracketed(host)}:{port}"


def _split(url: str) -> SplitResult:
    """Split a URL. Raises InvalidAddress.

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
        raise InvalidAddress("it is not a URL") from None  # urllib's errors quote it


def _try(url: str, parts: SplitResult) -> None:
    """Let redis-py parse the port and the options now, not only at the first connection."""
    options = dict(parse_qsl(parts.query))
    if options.keys() - _OPTIONS:
        raise InvalidAddress("its query string has an option unknown for this form of URL")
    if options.keys() & TLS_OPTIONS and parts.scheme != "rediss":
        raise InvalidAddress("the options of TLS require the scheme rediss")
    if parts.scheme != "unix" and "db" in options and parts.path.strip("/"):
        raise InvalidAddress("it names its database in its path and in its query string")
    try:
        pool: Any = ConnectionPool.from_url(url)  # its methods carry no types
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        # redis-py's errors quote the address
        raise InvalidAddress("its port or an option in its query string is not valid") from None


def _check_tls(options: dict[str, Any] | None) -> None:
    try:
        SSLConnection(**options or {})  # reads no file yet
    except (ValueError, TypeError, RedisError):
        raise InvalidAddress("an option of TLS is not valid") from None
