"""The receiver of traces: it keeps the latest, and shows a list and a tree."""

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tools.observe import traces as module
from tools.observe.traces import Traces, running_traces


def export(name: str, trace: int) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id, span.span_id = name, trace.to_bytes(16, "big"), b"\x01" * 8
    return request.SerializeToString()


@pytest_asyncio.fixture
async def traces() -> AsyncIterator[Traces]:
    async with running_traces(0) as traces:
        yield traces


async def test_what_is_exported_is_listed_and_shown(traces: Traces) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{traces.url}/v1/traces", data=export("<connect>", 5)) as answer:
            assert answer.status == 200
        async with http.get(traces.url) as answer:
            page = await answer.text()
        trace_id = f"{5:032x}"
        assert f"/traces/{trace_id}" in page
        assert "&lt;connect&gt;" in page
        async with http.get(f"{traces.url}/traces/{trace_id}") as answer:
            assert (await answer.text()).startswith("<connect> ")
            assert answer.content_type == "text/plain"
        async with http.get(f"{traces.url}/traces/{6:032x}") as answer:
            assert answer.status == 404


def test_the_oldest_make_room() -> None:
    traces = Traces()
    for number in range(module._KEPT + 1):
        traces.take(export("connect", number + 1))
    assert traces.get(f"{1:032x}") == []
    assert traces.latest("connect") == f"{module._KEPT + 1:032x}"
    assert traces.latest("join-chat") is None
