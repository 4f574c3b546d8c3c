"""The connection to Redis of commands that look into a deployment, and how its faults are said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from constellation_ws.redis_io.address import (
    ClusterAddress,
    SentinelAddress,
    label,
    label_node,
    read,
)
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.faults import explain
from constellation_ws.redis_io.names import Names

_TIMEOUT_SECONDS = 5.0


class RedisFailed(ConnectionError):
    """Redis is away or refuses what a command needs; `str()` is a sentence, or two."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        """Neither ends with a full stop."""
        super().__init__(f"{reason}. {remedy}.".removesuffix(" ."))
        self.reason = reason


@contextmanager
def connected(redis_url: str, names: Names) -> Iterator[Redis]:
    """Hold a connection for a command or a few; a failure is reported at once and not retried.

    Raises RedisFailed, which names the address: it may be the default one, not the deployment's.
    """
    with made(redis_url, names) as redis:
        with required(f"Redis cannot be used at {located(redis_url, redis)}"):
            redis.connection_pool.release(redis.connection_pool.get_connection())
        yield redis


Reach = Callable[[Redis, Names], AbstractContextManager[Redis]]
"""Connects to where another partition of the log is, as its names say, beside a connection to the
first. Raises RedisFailed."""


def same_redis(redis: Redis, names: Names) -> AbstractContextManager[Redis]:
    """Reach another partition where one Redis has all of them."""
    return nullcontext(redis)


def reaching(redis_url: str) -> Reach:
    """Give what reaches other partitions: on a Cluster they are on other nodes."""
    if not isinstance(read(redis_url), ClusterAddress):
        return same_redis
    return lambda _, names: connected(redis_url, names)


@contextmanager
def made(redis_url: str, names: Names) -> Iterator[Redis]:
    """Hold a client that connects when it is first used, for who reports that fault otherwise.

    Raises RedisFailed where no Sentinel and no node of a Cluster says where it is.
    """
    try:
        redis = _make_client(redis_url, names)
    except RedisError as error:
        raise RedisFailed(f"Redis cannot be used at {label(redis_url)}: {error}") from error
    try:
        yield redis
    finally:
        redis.close()


def located(redis_url: str, redis: Redis) -> str:
    """Name an address without its secrets, and of a Cluster the node that a client is for."""
    shown = label(redis_url)
    if not isinstance(read(redis_url), ClusterAddress):
        return shown
    return f"{node_of(redis)}, a node of {shown}"


def node_of(redis: Redis) -> str:
    """Name the server that a client is for."""
    where = redis.connection_pool.connection_kwargs
    if "path" in where:
        return str(where["path"])
    return label_node((where.get("host", "localhost"), where.get("port", 6379)))


@contextmanager
def required(what: str) -> Iterator[None]:
    """Raise RedisFailed for what Redis raises: `what` is not possible, and why."""
    try:
        yield
    except RedisFailed:
        raise  # it is an OSError, and has its sentence
    except (RedisError, OSError) as error:
        reason = f"{what}: {explain(error)}"
        raise RedisFailed(reason, "`constellation-ws check` looks closer at Redis") from error


def counts_all(redis_url: str) -> bool:
    """Return whether PUBLISH counts every subscriber there is."""
    return not isinstance(read(redis_url), ClusterAddress)


def _make_client(redis_url: str, names: Names) -> Redis:
    options: dict[str, Any] = {
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        "socket_timeout": _TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    address = read(redis_url)
    if not isinstance(address, ClusterAddress | SentinelAddress):
        return Redis.from_url(redis_url, **options)
    host, port = asyncio.run(Endpoint(redis_url, names).locate())
    tls = {} if address.tls is None else {"ssl": True, **address.tls}
    make: Any = Redis  # it carries no types
    found: Redis = make(host=host, port=port, **tls, **address.options, **options)
    return found
