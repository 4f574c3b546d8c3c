"""OpenTelemetry's SDK, set up: where spans go, whose they are, which are recorded.

Imported only where there is an exporter. All of it is configured by the SDK's own `OTEL_*`
variables; what is added are this service's name and what the sampler's answer will be.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from constellation_ws import __version__
from constellation_ws.observability.tracing import ALWAYS, AfterWrites, Odds, Tracing

_SCOPE = "constellation-ws"


class Ids(RandomIdGenerator):
    """Random ids, save that half of the next trace's may have been drawn already."""

    def __init__(self) -> None:
        self._low_bits: int | None = None

    def begin_as(self, low_bits: int) -> None:
        """Let the next trace id end in these 64 bits: the part that samplers look at."""
        self._low_bits = low_bits

    def generate_trace_id(self) -> int:
        """Make a trace id, as the SDK asks for one."""
        low_bits, self._low_bits = self._low_bits, None
        if low_bits is None:
            return super().generate_trace_id()
        return random.randrange(1, ALWAYS) << 64 | low_bits


def make_exporter(
    environment: Mapping[str, str], after_writes: AfterWrites, exporter: SpanExporter | None = None
) -> tuple[Tracing, Callable[[], None]]:
    """Begin to export; give what makes spans, and what sends the last ones and ends it.

    Without an exporter it is the one that the environment describes.
    """
    ids = Ids()
    ours = {
        "service.name": _SCOPE,
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
    }
    named = OTELResourceDetector().detect().attributes  # what the operator says goes before ours
    provider = TracerProvider(
        resource=Resource.create({**ours, **named}), shutdown_on_exit=False, id_generator=ids
    )
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    tracing = Tracing(
        provider.get_tracer(_SCOPE, __version__),
        Odds(root_bound(environment), isinstance(provider.sampler, ParentBased)),
        begin_as=ids.begin_as,
        after_writes=after_writes,
    )
    return tracing, provider.shutdown


def root_bound(environment: Mapping[str, str]) -> int:
    """Say below which number the sampler's 64 bits of a new trace's id must be.

    A sampler that is not known here is asked each time.
    """
    name = environment.get("OTEL_TRACES_SAMPLER", "").lower()
    if name.endswith("always_off"):
        return 0
    if not name.endswith("traceidratio"):
        return ALWAYS
    try:
        rate = float(environment.get("OTEL_TRACES_SAMPLER_ARG", ""))
        return TraceIdRatioBased(rate).bound
    except ValueError:
        return ALWAYS  # of which the SDK complains, and records everything
