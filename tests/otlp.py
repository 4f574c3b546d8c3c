"""A collector for tests: what OTLP/HTTP brings, as spans that a test can look at.

Lives here: receiving and reading. Only what was exported counts, whoever exported it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.processes import HOST
from tests.waiting import eventually
from tools.observe.spans import SeenSpan, read_export, unpacked

PATIENCE_SECONDS = 30.0


class Collector:
    """All that was exported to it, in the order of its coming."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[SeenSpan] = []
        self.bodies: list[bytes] = []
        """The exports as they came, uncompressed: for whoever looks for what must not be there."""

    async def take(self, request: web.Request) -> web.Response:
        """Take one export."""
        body = unpacked(await request.read())
        self.bodies.append(body)
        self.spans += read_export(body)
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
