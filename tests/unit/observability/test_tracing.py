"""Which spans there are and what they tell, with the SDK and without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from constellation_ws.delivery.rooms import Member, Outlet
from constellation_ws.messages import trace_context
from constellation_ws.messages.events import Sid
from constellation_ws.messages.frames import Frame
from constellation_ws.messages.trace_context import TraceContext
from constellation_ws.observability.spans import ids_of, inject
from constellation_ws.observability.tracing import Odds, Passed
from constellation_ws.runtime.direct import NOT_DIRECT
from tests.seen_spans import Seen

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORDED = TraceContext(f"00-{TRACE_ID}-{SPAN_ID}-01", "vendor=a")
NOT_RECORDED = TraceContext(f"00-{TRACE_ID}-{SPAN_ID}-00")
FRAME = Frame(b"0123456789", (b"abc",))


class Connection:
    """A socket as far as a delivery looks at it."""

    descriptor = NOT_DIRECT
    write: Callable[[bytes], None] | None = None
    pending: bytes | list[bytes] | None = None
    is_flushed = True

    def __init__(self) -> None:
        self.closed = False

    def queue(self, packet: str) -> None:
        """Nothing is sent here."""


def event(context: TraceContext | None = None, **values: Any) -> Passed:
    payload = json.dumps(values).encode()
    if context is not None:
        payload = trace_context.put(payload, context)
    return Passed("chat:new", payload, b"5-1")


def members(count: int) -> list[Member]:
    sockets: list[Outlet] = [Connection() for _ in range(count)]
    return [Member(Sid(str(n)), str(n), socket) for n, socket in enumerate(sockets)]


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_a_delivery_is_two_spans_below_the_publisher(seen: Seen) -> None:
    first, second, gone = audience = members(3)
    gone.outlet.closed = True
    seen.tracing.begin_batch()
    seen.tracing.deliver("new-chat", event(RECORDED), ["user:bob"], FRAME, audience)
    seen.tracing.end_batch(7)
    assert seen.spans == []  # until it has been written
    second.outlet.closed = True
    seen.written()

    process, deliver = seen.named("process chat:new"), seen.named("deliver new-chat")
    assert process.kind is SpanKind.CONSUMER
    assert process.parent is not None
    assert format(process.parent.trace_id, "032x") == TRACE_ID
    assert [link.context for link in process.links] == [process.parent]
    assert process.context is not None
    assert deliver.parent == process.context
    assert process.attributes == {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "chat:new",
        "messaging.message.body.size": len(event(RECORDED).payload),
        "messaging.message.id": "5-1",
        "constellation.outcome": "delivered",
    }
    assert deliver.attributes == {
        "constellation.rooms": ("user:bob",),
        "constellation.recipients": 2,
        "constellation.bytes": 26,
        "constellation.coalesced": 7,
        "constellation.slow": 1,
    }
    assert first.outlet.closed is False


def test_the_names_of_messaging_are_those_of_the_conventions(seen: Seen) -> None:
    seen.tracing.drop(event(RECORDED), "no_recipient")
    (span,) = seen.spans
    known = {value for value in vars(messaging_attributes).values() if isinstance(value, str)}
    names = {name for name in span.attributes or {} if not name.startswith("constellation.")}
    assert names <= known


def test_many_rooms_are_shown_in_part_and_everyone_by_a_star(seen: Seen) -> None:
    rooms = [f"user:{n}" for n in range(1_000)]
    for wanted, shown in ((rooms, tuple(rooms[:10])), (None, ("*",)), ((), ())):
        seen.tracing.begin_batch()
        seen.tracing.deliver("x", event(RECORDED), wanted, FRAME, [])
        seen.tracing.end_batch(1)
        seen.written()
        assert (seen.spans[-2].attributes or {})["constellation.rooms"] == shown


def test_what_is_for_nobody_here_is_told_where_it_belongs_to_a_trace(seen: Seen) -> None:
    span = seen.tracing.drop(event(RECORDED), "no_recipient")
    assert ids_of(span)["trace_id"] == TRACE_ID
    assert (seen.spans[0].attributes or {})["constellation.outcome"] == "no_recipient"
    for passed in (event(), event(NOT_RECORDED), Passed("chat:new", b"\xff{", b"")):
        assert seen.tracing.drop(passed, "malformed") is INVALID_SPAN
    assert len(seen.spans) == 1


@pytest.mark.parametrize("parent", [RECORDED.parent, "01" + RECORDED.parent[2:] + "-x"])
@pytest.mark.parametrize("state", ["", "a=b,c=d"])
def test_a_context_is_read_as_the_sdk_reads_it(seen: Seen, parent: str, state: str) -> None:
    headers = {"traceparent": parent, "tracestate": state}
    theirs = get_current_span(TraceContextTextMapPropagator().extract(headers)).get_span_context()
    with seen.tracing.act("join-chat", parent=TraceContext(parent, state)):
        pass
    (span,) = seen.spans
    assert span.parent == theirs
    assert span.parent is not None
    assert span.parent.trace_state == theirs.trace_state


def test_a_publisher_that_does_not_record_is_heeded_unless_the_sampler_does_not(
    seen: Seen,
) -> None:
    heedless = Seen(Odds(heeds_parent=False), TraceIdRatioBased(1.0))
    for one, is_recorded in ((seen, False), (heedless, True)):
        one.tracing.begin_batch()
        one.tracing.deliver("x", event(NOT_RECORDED), [], FRAME, [])
        one.tracing.end_batch(1)
        one.written()
        assert bool(one.spans) is is_recorded


@pytest.mark.parametrize("flags", ["00", "01", "02", "03", "fe", "ff", "0a", "0b"])
def test_whether_a_delivery_is_wanted_is_read_off_the_last_flag(seen: Seen, flags: str) -> None:
    carried = event(TraceContext(f"00-{TRACE_ID}-{SPAN_ID}-{flags}"))
    raw = msgspec.json.decode(carried.payload, type=dict[str, msgspec.Raw])["traceparent"]
    assert seen.tracing.wants(raw) is bool(int(flags, 16) & 1)
    for other in (b"null", b"1", b'""', b"[]"):
        assert seen.tracing.wants(msgspec.Raw(other)) in (True, False)


def test_a_trace_begins_as_often_as_the_sampler_would_begin_it() -> None:
    ratio = TraceIdRatioBased(0.25)
    some = Seen(Odds(ratio.bound), ParentBased(ratio))
    wanted = 0
    for _ in range(400):
        if some.tracing.wants(msgspec.UNSET):
            wanted += 1
            some.tracing.begin_batch()
            some.tracing.deliver("x", event(), [], FRAME, [])
            some.tracing.end_batch(1)
            some.written()
    # All that was wanted was sampled: the SDK has drawn the same lot.
    assert len(some.spans) == 2 * wanted
    assert 0 < wanted < 400
    ids = {span.context.trace_id for span in some.spans if span.context}
    assert len(ids) == wanted


def test_no_trace_begins_where_the_odds_are_none() -> None:
    never = Seen(Odds(root_bound=0))
    assert not any(never.tracing.wants(msgspec.UNSET) for _ in range(100))


def test_an_exemplar_is_that_of_the_last_delivery_and_given_once(seen: Seen) -> None:
    assert seen.tracing.take_exemplar() == {}
    seen.tracing.begin_batch()
    seen.tracing.deliver("x", event(RECORDED), [], FRAME, [])
    exemplar = seen.tracing.take_exemplar()
    seen.tracing.end_batch(1)
    seen.written()
    process = seen.named("process chat:new").context
    assert process is not None
    assert exemplar == {"trace_id": TRACE_ID, "span_id": format(process.span_id, "016x")}
    assert seen.tracing.take_exemplar() == {}


def test_a_batch_that_nobody_records_calls_nobody_back(seen: Seen) -> None:
    seen.tracing.begin_batch()
    seen.tracing.end_batch(5)
    assert seen.writes == []


def test_an_act_is_current_and_parent_of_what_happens_within(seen: Seen) -> None:
    with seen.tracing.act("connect", SpanKind.SERVER, link=RECORDED) as connect:
        assert get_current_span() is connect
        with seen.tracing.act("replay"):
            pass
    replay, ended = seen.spans
    assert replay.parent == ended.context
    assert ended.parent is None
    assert [format(link.context.span_id, "016x") for link in ended.links] == [SPAN_ID]
    assert get_current_span() is INVALID_SPAN


async def test_acts_that_wait_side_by_side_do_not_mix(seen: Seen) -> None:
    turns = asyncio.Barrier(2)

    async def do(name: str) -> None:
        with seen.tracing.act(name):
            await turns.wait()
            with seen.tracing.act(f"{name}'s"):
                await turns.wait()

    await asyncio.gather(do("a"), do("b"))
    for name in ("a", "b"):
        assert seen.named(f"{name}'s").parent == seen.named(name).context


def test_what_is_begun_within_a_span_is_below_it_and_may_outlive_the_call(seen: Seen) -> None:
    begun: list[Span] = []
    outer = seen.tracing.start("outer", SpanKind.SERVER)

    def begin(name: str) -> None:
        begun.append(seen.tracing.start(name, SpanKind.CLIENT))

    seen.tracing.within(outer, begin, "inner")
    assert get_current_span() is INVALID_SPAN
    assert seen.spans == [], "neither has ended"
    begun[0].end()
    outer.end()
    parent, context = seen.named("inner").parent, seen.named("outer").context
    assert parent is not None
    assert context is not None
    assert parent.span_id == context.span_id


def test_a_failure_is_told_by_its_type_and_not_by_its_text(seen: Seen) -> None:
    with pytest.raises(ValueError, match="SECRET"), seen.tracing.act("join-chat"):
        raise ValueError("SECRET")
    (span,) = seen.spans
    assert span.attributes == {"error.type": "ValueError"}
    assert "SECRET" not in span.to_json()
    assert not span.status.is_ok


def test_publishing_goes_on_from_the_events_own_context(seen: Seen) -> None:
    payload = trace_context.put(b'{"text":"SECRET"}', RECORDED)
    with seen.tracing.publishing("chat:new", payload) as (span, traced):
        carried = trace_context.read(traced)
    assert carried is not None
    assert carried.parent.split("-")[1:3] == [TRACE_ID, ids_of(span)["span_id"]]
    assert (carried.is_sampled, carried.state) == (True, "vendor=a")
    (published,) = seen.spans
    assert (published.name, published.kind) == ("publish chat:new", SpanKind.PRODUCER)
    assert published.attributes is not None
    assert published.attributes["messaging.operation.type"] == "send"
    assert "SECRET" not in published.to_json()


def test_publishing_passes_on_that_nothing_is_recorded() -> None:
    never = Seen(sampler=ParentBased(TraceIdRatioBased(0.0)))
    with never.tracing.publishing("chat:new", b"{}") as (span, payload):
        assert ids_of(span) == {}
    carried = trace_context.read(payload)
    assert carried is not None
    assert carried.is_sampled is False
    assert never.spans == []


def test_a_span_of_no_trace_is_not_injected() -> None:
    assert inject(INVALID_SPAN, b"{}") == b"{}"
