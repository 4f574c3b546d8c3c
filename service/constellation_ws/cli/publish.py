"""`publish`: what the API does, by hand. Events go to Redis as they are; doubts are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from constellation_ws.cli.redis_connection import required
from constellation_ws.delivery.routes import Table
from constellation_ws.messages.events import MalformedEvent
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.spans import ids_of
from constellation_ws.observability.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one event."""

    channel: str
    subscribers: int | None
    """Gateways that received it: each pod counts once, however many clients it has.

    None on a Cluster, where Redis counts the subscribers of one node only, and for an event that
    was held back.
    """
    doubt: str | None
    """Why it will reach no client, as far as is known here."""
    trace_id: str | None = None
    """The trace that shows the rest; None where none is recorded."""
    is_published: bool = True
    """False for an event that was held back because of the doubt."""

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs."""
        return {
            "channel": self.channel,
            "published": self.is_published,
            "gateways": self.subscribers,
            "warning": self.doubt,
            "traceId": self.trace_id,
        }


def events(text: str) -> Iterable[bytes]:
    """Give the argument itself, or, for `-`, the lines of stdin as they come."""
    if text != "-":
        return [text.encode(errors="surrogateescape")]
    return (line for raw in sys.stdin.buffer if (line := raw.strip()))


def receipt(published: Published) -> str:
    """Say in one line who has received an event."""
    if not published.is_published:
        return f"{published.channel}: not published"
    match published.subscribers:
        case None:
            by = "published"
        case 1:
            by = "received by 1 gateway"
        case gateways:
            by = f"received by {gateways} gateways"
    trace = f", trace {published.trace_id}" if published.trace_id else ""
    return f"{published.channel}: {by}{trace}"


def publish(
    redis: Redis,
    table: Table,
    events: Iterable[tuple[str, bytes]],
    tracing: Tracing | NoTracing = NO_TRACING,
    *,
    counts_all: bool,
    max_event_bytes: int,
    is_strict: bool = False,
) -> Iterator[Published]:
    """Publish (channel, JSON) pairs one by one, each in a trace. Raises RedisFailed.

    `counts_all` is whether PUBLISH counts every subscriber there is. With `is_strict` an event that
    the gateway would drop is held back.
    """
    for channel, payload in events:
        doubt = doubt_of(table, channel, payload, max_event_bytes)
        if is_strict and doubt is not None:
            yield Published(channel, None, doubt, is_published=False)
            continue
        with tracing.publishing(channel, payload) as (span, traced):
            with required("Redis did not accept the event"):
                count = int(redis.publish(channel, traced))
            trace_id = ids_of(span).get("trace_id")
        subscribers = count if counts_all else None
        if doubt is None and subscribers == 0:
            doubt = NOBODY
        yield Published(channel, subscribers, doubt, trace_id)


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
