"""Spans of a command: sent before it ends, and it does not wait for a collector that is away.

The SDK would try again for ten seconds, and its libraries would log each attempt. A person at a
terminal gets one sentence instead.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from constellation_ws.cli.reporting import warn
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.telemetry import is_exporting
from constellation_ws.observability.tracing import Tracing

_END_SECONDS = 1.5
_NOISY = ("opentelemetry", "urllib3")


@contextmanager
def brief_traces() -> Iterator[Tracing | NoTracing]:
    """Make spans as long as this is held, then send them, or warn that they were not sent."""
    if not is_exporting(os.environ):
        yield NO_TRACING
        return
    from constellation_ws.cli.watched_exporter import WatchedExporter  # noqa: PLC0415 - see there

    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    exporter = WatchedExporter()
    tracing, shut_down = exporter.begin()
    try:
        yield tracing
    finally:
        # In a thread, since the SDK's own end may take half a minute.
        ending = threading.Thread(target=shut_down, name="spans", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)
        if exporter.has_failed or ending.is_alive():
            warn(
                "the trace was not sent: the collector does not answer; "
                "check OTEL_EXPORTER_OTLP_ENDPOINT, or set OTEL_SDK_DISABLED=true"
            )
