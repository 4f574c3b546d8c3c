"""An OTLP/HTTP receiver that keeps the latest traces and shows each as a tree. For one machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import escape

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tools.observe.spans import SeenSpan, read_export, to_tree, unpacked

HOST = "127.0.0.1"
_KEPT = 2_000
_LISTED = 200
_MAX_EXPORT_BYTES = 64 * 1024 * 1024
_PAGE = """<!doctype html><meta charset="utf-8"><title>Traces</title>
<style>body {{ font: 14px monospace; margin: 2em }} td {{ padding-right: 1.5em }}</style>
<h1>Traces</h1><p>The latest {shown} of {kept}. Reload for newer ones; one is at /traces/ID.</p>
<table>{rows}</table>
"""


class Traces:
    """The latest traces, oldest first."""

    def __init__(self) -> None:
        self.url = ""
        self._kept: dict[str, list[SeenSpan]] = {}

    def take(self, body: bytes) -> None:
        """Take one export; the oldest traces make room."""
        for span in read_export(body):
            self._kept.setdefault(span.trace_id, []).append(span)
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]

    def get(self, trace_id: str) -> list[SeenSpan]:
        """Give the spans of a trace, none where it is not kept."""
        return self._kept.get(trace_id, [])

    def latest(self, name: str) -> str | None:
        """Give the id of the latest trace that has a span of that name."""
        for trace_id, spans in reversed(self._kept.items()):
            if any(span.name == name for span in spans):
                return trace_id
        return None

    # What HTTP asks for

    async def receive(self, request: web.Request) -> web.Response:
        """Answer an exporter."""
        self.take(unpacked(await request.read()))
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    async def list_latest(self, _: web.Request) -> web.Response:
        """Answer a browser with the latest traces."""
        latest = list(reversed(self._kept.items()))[:_LISTED]
        rows = "".join(_row(trace_id, spans) for trace_id, spans in latest)
        page = _PAGE.format(shown=len(latest), kept=len(self._kept), rows=rows)
        return web.Response(text=page, content_type="text/html")

    async def show(self, request: web.Request) -> web.Response:
        """Answer with one trace, as text."""
        spans = self.get(request.match_info["id"])
        if not spans:
            raise web.HTTPNotFound(text="No such trace is kept.\n")
        return web.Response(text=to_tree(spans) + "\n")


def _row(trace_id: str, spans: list[SeenSpan]) -> str:
    first = min(spans, key=lambda span: span.begun_ns)
    took_ms = (max(span.ended_ns for span in spans) - first.begun_ns) / 1e6
    at = datetime.fromtimestamp(first.begun_ns / 1e9, UTC).astimezone()
    link = f'<a href="/traces/{trace_id}">{trace_id}</a>'
    cells = (f"{at:%H:%M:%S}", link, escape(first.name), f"{len(spans)} spans", f"{took_ms:.1f} ms")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


@asynccontextmanager
async def running_traces(port: int) -> AsyncIterator[Traces]:
    """Hold a receiver on that port, 0 for any."""
    traces = Traces()
    app = web.Application(client_max_size=_MAX_EXPORT_BYTES)
    app.add_routes(
        [
            web.post("/v1/traces", traces.receive),
            web.get("/", traces.list_latest),
            web.get("/traces/{id}", traces.show),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        traces.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield traces
    finally:
        await runner.cleanup()
