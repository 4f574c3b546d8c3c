"""What stands in for tracing where there is none."""

from __future__ import annotations

import msgspec
from opentelemetry.trace import INVALID_SPAN

from constellation_ws.messages.frames import Frame
from constellation_ws.observability.no_tracing import NO_TRACING
from constellation_ws.observability.spans import fail, ids_of
from constellation_ws.observability.tracing import Passed

FRAME = Frame(b"0123456789", (b"abc",))
PASSED = Passed("chat:new", b"{}", b"1-1")
SAMPLED = msgspec.Raw(b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"')


def test_acts_and_publishes_have_a_span_that_records_nothing() -> None:
    with NO_TRACING.act("connect") as span:
        fail(span, "any")
        assert ids_of(span) == {}
    with NO_TRACING.publishing("chat:new", b'{"a":1}') as (span, payload):
        assert (ids_of(span), payload) == ({}, b'{"a":1}')
    assert NO_TRACING.inject(b'{"a":1}') == b'{"a":1}'


def test_no_delivery_is_recorded() -> None:
    assert not NO_TRACING.wants(SAMPLED)
    NO_TRACING.begin_batch()
    NO_TRACING.deliver("new-chat", PASSED, None, FRAME, [])
    assert NO_TRACING.drop(PASSED, "malformed") is INVALID_SPAN
    NO_TRACING.end_batch(1)
    assert NO_TRACING.take_exemplar() == {}
