"""A collector for tests: what OTLP/HTTP brings, as spans that a test can look at.

Lives here: receiving and reading. Only what was exported counts, whoever exported it.
"""

import gzip
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.processes import HOST
from tests.waiting import eventually

PATIENCE_SECONDS = 30.0


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


class Collector:
    """All that was exported to it, in the order of its coming."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[SeenSpan] = []
        self.bodies: list[bytes] = []
        """The exports as they came, uncompressed: for whoever looks for what must not be there."""

    async def take(self, request: web.Request) -> web.Response:
        """Take one export."""
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip" and body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_seen(span, resource) for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def named(self, name: str) -> list[SeenSpan]:
        """All spans of that name."""
        return [span for span in self.spans if span.name == name]

    def trace(self, trace_id: str) -> list[SeenSpan]:
        """All spans of one trace, by the time of their beginning."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.begun_ns)

    async def whole_trace(self, trace_id: str, spans: int) -> list[SeenSpan]:
        """Wait until so many spans of a trace are here, and give them."""

        def is_here() -> bool:
            return len(self.trace(trace_id)) >= spans

        await eventually(is_here, PATIENCE_SECONDS, f"{spans} spans of {trace_id}")
        return self.trace(trace_id)


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    """A collector that listens on a free port."""
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    port = runner.addresses[0][1]
    collector.url = f"http://{HOST}:{port}"
    try:
        yield collector
    finally:
        await runner.cleanup()


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
