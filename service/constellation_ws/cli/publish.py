"""`publish`: what the API does, by hand. Events go to Redis as they are; doubts are printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from constellation_ws.delivery.routes import Table
from constellation_ws.messages.events import MalformedEvent
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.spans import ids_of
from constellation_ws.observability.tracing import Tracing
from constellation_ws.redis_io.address import ClusterAddress, SentinelAddress, read
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.names import Names

_TIMEOUT_SECONDS = 5.0


class CannotPublish(ConnectionError):
    """Redis did not take an event; `str()` is a sentence."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one event."""

    channel: str
    subscribers: int | None
    """Gateways that received it: each pod counts once, however many clients it has.

    None on a Cluster, where Redis counts the subscribers of one node only.
    """
    doubt: str | None
    """Why it will reach no client, as far as is known here."""
    trace_id: str | None = None
    """The trace that shows the rest; None where none is recorded."""


def events(text: str) -> Iterable[bytes]:
    """Give the argument itself, or, for `-`, the lines of stdin as they come."""
    if text != "-":
        return [text.encode(errors="surrogateescape")]
    return (line for raw in sys.stdin.buffer if (line := raw.strip()))


def receipt(published: Published) -> str:
    """Say in one line who has received an event."""
    match published.subscribers:
        case None:
            by = "published"
        case 1:
            by = "received by 1 gateway"
        case gateways:
            by = f"received by {gateways} gateways"
    trace = f", trace {published.trace_id}" if published.trace_id else ""
    return f"{published.channel}: {by}{trace}"


@contextmanager
def connected(redis_url: str, names: Names) -> Iterator[Redis]:
    """Hold a connection for a command or a few; a failure is reported at once and not retried.

    Raises CannotPublish where no Sentinel and no node of a Cluster says where it is.
    """
    try:
        redis = _make_client(redis_url, names)
    except RedisError as error:
        raise CannotPublish(f"Redis cannot be used: {error}.") from error
    try:
        yield redis
    finally:
        redis.close()


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


def counts_all(redis_url: str) -> bool:
    """Return whether PUBLISH counts every subscriber there is."""
    return not isinstance(read(redis_url), ClusterAddress)


def publish(
    redis: Redis,
    table: Table,
    events: Iterable[tuple[str, bytes]],
    tracing: Tracing | NoTracing = NO_TRACING,
    *,
    counts_all: bool,
    max_event_bytes: int,
) -> Iterator[Published]:
    """Publish (channel, JSON) pairs one by one, each in a trace. Raises CannotPublish.

    `counts_all` is whether PUBLISH counts every subscriber there is.
    """
    for channel, payload in events:
        with tracing.publishing(channel, payload) as (span, traced):
            try:
                count = int(redis.publish(channel, traced))
            except (RedisError, OSError) as error:
                raise CannotPublish(f"Redis did not accept the event: {error}") from error
        subscribers = count if counts_all else None
        doubt = doubt_of(table, channel, payload, max_event_bytes)
        if doubt is None and subscribers == 0:
            doubt = NOBODY
        yield Published(channel, subscribers, doubt, ids_of(span).get("trace_id"))


NOBODY = "no gateway is subscribed to this Redis"


def doubt_of(table: Table, channel: str, payload: bytes, max_event_bytes: int) -> str | None:
    """Say why the gateway will send nothing for an event, None where it will."""
    route = table.get(channel)
    if route is None:
        return f"unknown channel; the routes have {', '.join(sorted(table))}"
    if len(payload) > max_event_bytes:
        allowed = f"CONSTELLATION_MAX_EVENT_BYTES allows {max_event_bytes:,}"
        return f"the gateway will drop it: it has {len(payload):,} bytes, {allowed}"
    try:
        message = route.route(payload)
    except MalformedEvent as error:
        return f"the gateway will drop it: {error}"
    return None if message else "its route sends nothing for this event"
