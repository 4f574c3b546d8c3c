"""Spans as OTLP/HTTP brings them, and a trace as a tree of text. No network here."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

_NAME_CHARS = 40
_SHOWN = (
    "user.id",
    "constellation.code",
    "constellation.outcome",
    "constellation.rooms",
    "constellation.recipients",
    "constellation.bytes",
    "constellation.coalesced",
    "constellation.slow",
    "constellation.events",
    "messaging.message.id",
    "error.type",
)
"""What tells somebody at night what became of an event; the rest is in the export."""


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """One exported span."""

    name: str
    kind: str
    """`PRODUCER`, `CONSUMER`, `SERVER`, `INTERNAL`"""
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first of its trace."""
    links: tuple[str, ...]
    """Ids of the spans that it is linked to."""
    begun_ns: int
    ended_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    is_error: bool

    @property
    def whose(self) -> str:
        """Whose span it is: the pod, or the service where there is none."""
        return str(self.resource.get("k8s.pod.name") or self.resource.get("service.name", "?"))


def unpacked(body: bytes) -> bytes:
    """Give an export as it was before its sender, perhaps, compressed it."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def read_export(body: bytes) -> Iterator[SeenSpan]:
    """Read the spans of an export that is not compressed."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            yield from (_seen(span, resource) for span in scope.spans)


def to_tree(spans: Sequence[SeenSpan]) -> str:
    """Draw a trace: who is below whom, where, since when, for how long, and what became of it."""
    ordered = sorted(spans, key=lambda span: span.begun_ns)
    known = {span.span_id for span in ordered}
    below: dict[str, list[SeenSpan]] = {}
    for span in ordered:
        # One whose parent has not been exported stands at the root.
        below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    return "\n".join(_branches(below, "", "", ordered[0].begun_ns))


def _branches(
    below: Mapping[str, Sequence[SeenSpan]], parent: str, indent: str, start_ns: int
) -> Iterator[str]:
    spans = below.get(parent, ())
    for number, span in enumerate(spans, start=1):
        is_last = number == len(spans)
        branch, deeper = ("└── ", "    ") if is_last else ("├── ", "│   ")
        if not parent:
            branch = deeper = ""
        yield _line(indent + branch, span, start_ns)
        yield from _branches(below, span.span_id, indent + deeper, start_ns)


def _line(branch: str, span: SeenSpan, start_ns: int) -> str:
    since, took = (span.begun_ns - start_ns) / 1e6, (span.ended_ns - span.begun_ns) / 1e6
    told = " ".join(
        f"{key.rpartition('.')[2] if key.startswith('constellation') else key}={_short(value)}"
        for key, value in ((key, span.attributes.get(key)) for key in _SHOWN)
        if value is not None
    )
    name = f"{branch + span.name:<{_NAME_CHARS}} {span.whose:<16}"
    return f"{name} +{since:8.2f} ms {took:8.2f} ms  {told}".rstrip()


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _seen(span: ProtoSpan, resource: Mapping[str, Any]) -> SeenSpan:
    return SeenSpan(
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        begun_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        resource=resource,
        is_error=span.status.code == 2,
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
