"""An exporter of spans that does not try twice and remembers whether it failed.

Imported only where there is a collector, as the SDK takes 80 ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from constellation_ws.observability.exporting import make_exporter
from constellation_ws.observability.tracing import Tracing

SEND_SECONDS = 0.75
"""Shorter than the SDK's first pause, so there is no second attempt."""


class WatchedExporter(OTLPSpanExporter):
    """Sends as the environment says."""

    def __init__(self) -> None:
        super().__init__(timeout=SEND_SECONDS)
        self.has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.has_failed = self.has_failed or result is not SpanExportResult.SUCCESS
        return result

    def begin(self) -> tuple[Tracing, Callable[[], None]]:
        """Give what makes spans, and what sends the last ones and ends it."""
        return make_exporter(os.environ, lambda work: work(), self)
