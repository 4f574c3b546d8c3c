"""Traces as trees of text: who is below whom, and what became of an event."""

import gzip
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tools.observe.spans import SeenSpan, read_export, to_tree, unpacked


def span(name: str, number: int, parent: int = 0, **attributes: Any) -> SeenSpan:
    begun_ns = number * 1_000_000
    return SeenSpan(
        name=name,
        kind="INTERNAL",
        trace_id="t",
        span_id=f"{number}",
        parent_id=f"{parent}" if parent else "",
        links=(),
        begun_ns=begun_ns,
        ended_ns=begun_ns + 500_000,
        attributes={f"constellation.{key}": value for key, value in attributes.items()},
        resource={"service.name": "api"} if number == 1 else {"k8s.pod.name": f"pod-{number}"},
        is_error=False,
    )


def test_a_trace_is_drawn_from_its_publisher_to_its_sockets() -> None:
    spans = [
        span("deliver new-message", 3, parent=2, rooms=["user:bob", "chat:c-1"], recipients=2),
        span("process chat:newMessage", 4, parent=1, outcome="no_recipient"),
        span("process chat:newMessage", 2, parent=1, outcome="delivered"),
        span("publish chat:newMessage", 1),
    ]
    assert [" ".join(line.split()) for line in to_tree(spans).splitlines()] == [
        "publish chat:newMessage api + 0.00 ms 0.50 ms",
        "├── process chat:newMessage pod-2 + 1.00 ms 0.50 ms outcome=delivered",
        "│ └── deliver new-message pod-3 + 2.00 ms 0.50 ms rooms=user:bob,chat:c-1 recipients=2",
        "└── process chat:newMessage pod-4 + 3.00 ms 0.50 ms outcome=no_recipient",
    ]


def test_what_has_lost_its_parent_is_shown_all_the_same() -> None:
    spans = [span("process chat:newMessage", 2, parent=1), span("connect", 3)]
    assert [line.split()[0] for line in to_tree(spans).splitlines()] == ["process", "connect"]


def test_an_export_is_read_whether_it_was_compressed_or_not() -> None:
    request = ExportTraceServiceRequest()
    sent = request.resource_spans.add().scope_spans.add().spans.add()
    sent.name, sent.trace_id, sent.span_id = "connect", b"\x0a" * 16, b"\x0b" * 8
    body = request.SerializeToString()
    for way in (body, gzip.compress(body)):
        (found,) = read_export(unpacked(way))
        assert (found.name, found.trace_id, found.span_id) == ("connect", "0a" * 16, "0b" * 8)
        assert found.whose == "?"
