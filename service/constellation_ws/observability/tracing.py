"""The spans of events on their way to sockets, and of what clients and services request.

Made where an exporter is configured; elsewhere `NoTracing` does nothing. There is never a span per
recipient, and never one per WebSocket frame. No span contains what users write. Where spans are
sent is decided in `telemetry`; docs/tracing.md lists names and attributes.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from msgspec import UNSET
from opentelemetry.context import get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)

from constellation_ws.messages import trace_context
from constellation_ws.messages.events import Slice
from constellation_ws.messages.frames import Frame
from constellation_ws.messages.trace_context import TraceContext
from constellation_ws.observability.spans import below, fail, ids_of, inject, messaging, remote

ALWAYS = 1 << 64
"""The bound below which every 64-bit number is."""
_NO_LOT = ALWAYS - 1
"""Drawn for an event whose context turns out to be none: no ratio but all takes it."""
_SHOWN_ROOMS = 10
_ODD_DIGITS = frozenset((b"1", b"3", b"5", b"7", b"9", b"b", b"d", b"f"))
"""Last digits of trace flags whose lowest bit says that the trace is recorded."""

AfterWrites = Callable[[Callable[[], None]], object]
"""Calls back when what was handed to the sockets has been written, as with `loop.call_soon`."""


class Odds(NamedTuple):
    """What the sampler would say, known before a span is made of anything.

    Asking the SDK costs more than a delivery to one client, and most events are not sampled.
    """

    root_bound: int = ALWAYS
    """A trace begins where 64 random bits are below it; they become part of its id."""
    heeds_parent: bool = True
    """Whether a trace that its origin does not sample is not sampled here either."""


class Outlet(Protocol):
    """Where a recipient's bytes leave, as far as a span shows it."""

    closed: bool


class Recipient(Protocol):
    """Who is sent an event, as far as a span shows it."""

    @property
    def outlet(self) -> Outlet:
        """Closed where the recipient was too slow."""


class _Delivery(NamedTuple):
    """An event that was handed to sockets; its spans end when it has been written."""

    process: Span
    name: str
    begun_ns: int
    rooms: list[str]
    message_bytes: int
    recipients: list[Recipient]


class Tracing:
    """Makes this process's spans. Not for concurrent use, as nothing on an event loop is."""

    is_on = True

    def __init__(
        self,
        tracer: Tracer,
        odds: Odds,
        *,
        begin_as: Callable[[int], None],
        after_writes: AfterWrites,
    ) -> None:
        """`begin_as` receives the low half of the id of the trace that begins next."""
        self.tracer = tracer
        self._root_bound, self._heeds_parent = odds
        self._begin_as = begin_as
        self._after_writes = after_writes
        self._drawn = _NO_LOT
        self._began_ns = 0
        self._deliveries: list[_Delivery] = []
        self._exemplar: Mapping[str, str] = {}

    # What the relay calls, per batch and per event

    def begin_batch(self) -> None:
        """Note that a batch has been read: the processing of its events begins."""
        self._began_ns = time.time_ns()

    def wants(self, traceparent: Slice) -> bool:
        """Decide whether an event's delivery is recorded; what it carries is as it was published.

        One that carries no context begins a trace of its own now and then.
        """
        if traceparent is UNSET:
            self._drawn = random.getrandbits(64)
            return self._drawn < self._root_bound
        return not self._heeds_parent or bytes(traceparent)[-2:-1] in _ODD_DIGITS

    def deliver(
        self,
        name: str,
        passed: Passed,
        rooms: Sequence[str] | None,
        frame: Frame,
        audience: Collection[Recipient],
    ) -> None:
        """Record an event that goes to sockets of this pod."""
        process = self._process(passed, trace_context.read(passed.payload), "delivered")
        if process is None:
            return
        delivery = _Delivery(
            process,
            f"deliver {name}",
            time.time_ns(),
            ["*"] if rooms is None else list(rooms[:_SHOWN_ROOMS]),
            len(frame.message) + sum(map(len, frame.attachments)),
            [member for member in audience if not member.outlet.closed],
        )
        self._deliveries.append(delivery)
        self._exemplar = ids_of(process)

    def drop(self, passed: Passed, outcome: str) -> Span:
        """Record that an event goes to nobody here; only where it belongs to a trace already.

        The span has ended: it is given for the lines that are logged about it.
        """
        carried = trace_context.read(passed.payload)
        process = None if carried is None else self._process(passed, carried, outcome)
        if process is None:
            return INVALID_SPAN
        process.end()
        return process

    def end_batch(self, events: int) -> None:
        """Note that a batch of so many events has been handed to the sockets."""
        if self._deliveries:
            deliveries, self._deliveries = self._deliveries, []
            self._after_writes(functools.partial(self._end, deliveries, events))

    def take_exemplar(self) -> Mapping[str, str]:
        """Give the ids of the last delivery that was recorded since the last call, if any."""
        exemplar, self._exemplar = self._exemplar, {}
        return exemplar

    def _end(self, deliveries: list[_Delivery], events: int) -> None:
        """End the spans of a batch that has been written; only now nobody waits for it."""
        for one in deliveries:
            slow = sum(1 for member in one.recipients if member.outlet.closed)
            self.tracer.start_span(
                one.name,
                set_span_in_context(one.process),
                attributes={
                    "constellation.rooms": one.rooms,
                    "constellation.recipients": len(one.recipients),
                    "constellation.bytes": one.message_bytes * len(one.recipients),
                    "constellation.coalesced": events,
                    "constellation.slow": slow,
                },
                start_time=one.begun_ns,
            ).end()
            one.process.end()

    def _process(self, passed: Passed, carried: TraceContext | None, outcome: str) -> Span | None:
        """Make the span of an event that has been read; None where the sampler has none of it."""
        if carried is not None and self._heeds_parent and not carried.is_sampled:
            return None
        producer = remote(carried)
        if producer is None:
            self._begin_as(self._drawn)
            self._drawn = _NO_LOT
        span = self.tracer.start_span(
            f"process {passed.channel}",
            below(producer),
            SpanKind.CONSUMER,
            attributes={
                **messaging("process", "process", passed.channel, passed.payload),
                "constellation.outcome": outcome,
                **({"messaging.message.id": passed.offset.decode()} if passed.offset else {}),
            },
            links=() if producer is None else (Link(producer),),
            start_time=self._began_ns,
        )
        return span if span.is_recording() else None

    # What everything else calls

    def act(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        *,
        parent: TraceContext | None = None,
        link: TraceContext | None = None,
    ) -> AbstractContextManager[Span]:
        """Record what is done inside as a span; what it logs and causes belongs to that span.

        A span that is not sampled records nothing. Of an exception only the type is recorded: its
        text may quote what users write.
        """
        return _within(self.start(name, kind, parent=parent, link=link))

    @contextmanager
    def publishing(self, channel: str, payload: bytes) -> Iterator[tuple[Span, bytes]]:
        """Record a publish: give its span, and the payload with the context for its readers."""
        carried = trace_context.read(payload)
        with self.act(f"publish {channel}", SpanKind.PRODUCER, parent=carried) as span:
            span.set_attributes(messaging("publish", "send", channel, payload))
            yield span, inject(span, payload)

    def inject(self, payload: bytes) -> bytes:
        """Put the context of the current span, if there is one, into a JSON object."""
        return inject(get_current_span(), payload)

    def start(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None = None,
        link: TraceContext | None = None,
    ) -> Span:
        """Begin a span below what is given or current, or a trace where there is neither.

        One that is not sampled is a span all the same: its context says so to the next process.
        """
        caller, linked = remote(parent), remote(link)
        context = get_current() if caller is None else below(caller)
        links = () if linked is None else (Link(linked),)
        return self.tracer.start_span(name, context, kind, links=links)

    def within(self, span: Span, begin: Callable[..., None], *arguments: object) -> None:
        """Call something that logs and begins spans below a span, which does not end with it."""
        with use_span(span, record_exception=False, set_status_on_exception=False):
            begin(*arguments)


class Passed(NamedTuple):
    """An event as it was received: what its span shows."""

    channel: str
    payload: bytes
    offset: bytes
    """Its log ID; empty where it came without the log."""


@contextmanager
def _within(span: Span) -> Iterator[Span]:
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield span
    except Exception as error:
        fail(span, type(error).__name__)
        raise
    finally:
        span.end()
