"""What stands in for `Tracing` where no exporter is configured: it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from constellation_ws.messages.events import Slice
from constellation_ws.messages.frames import Frame
from constellation_ws.messages.trace_context import TraceContext
from constellation_ws.observability.tracing import Passed, Recipient


class NoTracing:
    """Does what `Tracing` does where no exporter is configured: nothing."""

    is_on = False

    def begin_batch(self) -> None:
        """No batch is timed."""

    def wants(self, traceparent: Slice) -> bool:
        """No delivery is recorded."""
        return False

    def deliver(
        self,
        name: str,
        passed: Passed,
        rooms: Sequence[str] | None,
        frame: Frame,
        audience: Collection[Recipient],
    ) -> None:
        """Nothing is recorded."""

    def drop(self, passed: Passed, outcome: str) -> Span:
        """Nothing is recorded."""
        return INVALID_SPAN

    def end_batch(self, events: int) -> None:
        """No batch is timed."""

    def take_exemplar(self) -> Mapping[str, str]:
        """No delivery was recorded."""
        return {}

    def act(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        *,
        parent: TraceContext | None = None,
        link: TraceContext | None = None,
    ) -> AbstractContextManager[Span]:
        """Give a span that records nothing."""
        return nullcontext(INVALID_SPAN)

    def start(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None = None,
        link: TraceContext | None = None,
    ) -> Span:
        """Give a span that records nothing."""
        return INVALID_SPAN

    def within(self, span: Span, begin: Callable[..., None], *arguments: object) -> None:
        """No span is current."""
        begin(*arguments)

    def publishing(
        self, channel: str, payload: bytes
    ) -> AbstractContextManager[tuple[Span, bytes]]:
        """Give a span that records nothing, and the payload as it is."""
        return nullcontext((INVALID_SPAN, payload))

    def inject(self, payload: bytes) -> bytes:
        """Give the payload as it is."""
        return payload


NO_TRACING = NoTracing()
