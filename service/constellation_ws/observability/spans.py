"""What is asked of spans and put into them: ids, contexts, attributes, failure. Makes none."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from constellation_ws.messages import trace_context
from constellation_ws.messages.trace_context import PARENT, STATE, TraceContext

_ROOT = Context()
_PROPAGATOR = TraceContextTextMapPropagator()


def inject(span: Span, payload: bytes) -> bytes:
    """Put a span's context into a JSON object, where the span is one of a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    context = trace_context.parse(carrier.get(PARENT), carrier.get(STATE))
    return payload if context is None else trace_context.put(payload, context)


def traceparent_of(span: Span) -> str:
    """Write a span's context as a W3C `traceparent`; empty where it is of no trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier.get(PARENT, "")


def fail(span: Span, kind: str) -> None:
    """Note that what the span is about went wrong, by a stable word."""
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("error.type", kind)


def ids_of(span: Span) -> Mapping[str, str]:
    """Name a span as logs, exemplars and acknowledgements do; empty where it is of no trace."""
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def remote(context: TraceContext | None) -> SpanContext | None:
    """Make the SDK's form of a context, as its propagator would in five times the time."""
    if context is None:
        return None
    return SpanContext(
        trace_id=int(context.parent[3:35], 16),
        span_id=int(context.parent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(context.parent[53:55], 16)),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )


def below(parent: SpanContext | None) -> Context:
    """Give the context of a span below another, or of one that begins a trace."""
    return _ROOT if parent is None else set_span_in_context(NonRecordingSpan(parent), _ROOT)


def messaging(name: str, kind: str, channel: str, payload: bytes) -> dict[str, str | int]:
    """Give the attributes of OpenTelemetry's semantic conventions for messaging."""
    return {
        "messaging.system": "redis",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": channel,
        "messaging.message.body.size": len(payload),
    }
