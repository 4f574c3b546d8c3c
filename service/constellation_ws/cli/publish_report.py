"""`publish`, from the settings to what is printed."""

from __future__ import annotations

from constellation_ws.cli import publish as publisher
from constellation_ws.cli.brief_traces import brief_traces
from constellation_ws.cli.publish import Published
from constellation_ws.cli.redis_connection import RedisFailed, connected, counts_all
from constellation_ws.cli.reporting import FAILED, exit_on, warn, write_json
from constellation_ws.delivery.routes import Table
from constellation_ws.settings.settings import Settings


def run(
    values: Settings, table: Table, channel: str, text: str, *, is_strict: bool, as_json: bool
) -> int:
    """Publish one event, or those of stdin, print what became of each, and give the exit code."""
    doubts = 0
    with (
        exit_on(FAILED, RedisFailed),
        connected(values.redis.address(), values.redis.names()) as redis,
        brief_traces() as tracing,
    ):
        for published in publisher.publish(
            redis,
            table,
            ((channel, event) for event in publisher.events(text)),
            tracing,
            counts_all=counts_all(values.redis.address()),
            max_event_bytes=values.limits.max_event_bytes,
            is_strict=is_strict,
        ):
            _show(published, as_json=as_json)
            doubts += published.doubt is not None
    return FAILED if is_strict and doubts else 0


def _show(published: Published, *, as_json: bool) -> None:
    if as_json:
        write_json(published.facts())
    else:
        print(publisher.receipt(published), flush=True)
    if published.doubt:
        warn(published.doubt)
