"""How requests of clients are answered: an ack, a count, and a span where requests are traced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry.trace import SpanKind, get_current_span

from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.requests import AckData, Handler
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.trace_context import PARENT
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.spans import ids_of
from constellation_ws.observability.tracing import Tracing

Ack = dict[str, Any]


class Answering:
    """Makes acks of what handlers return."""

    def __init__(self, metrics: Metrics, tracing: Tracing | NoTracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    def seen(self, event: str, handle: Handler) -> Callable[[ClientRequest], Awaitable[Ack]]:
        """Count a request, give it a span, and tell the client its trace where it asks for that."""

        async def handle_seen(request: ClientRequest) -> Ack:
            with self._tracing.act(event, SpanKind.SERVER, link=request.link) as span:
                if request.member.user is not None:
                    span.set_attribute("user.id", request.member.user)
                answer = self._ack(event, await handle(request))
                ids = ids_of(span)
            is_asked = bool(ids) and PARENT in request.fields
            return {**answer, "traceId": ids["trace_id"]} if is_asked else answer

        return handle_seen

    def unknown(self, events: Iterable[str]) -> Callable[..., Ack]:
        """Make the handler of events that are not known; `events` are those that are."""
        known = sorted(events)
        remedy = f"use {_either(known)}" if known else "none are served in this namespace"
        refusal = Refusal("unknown_event", f"Unknown request; {remedy}.")

        def handle(event: str, sid: str, *_: object) -> Ack:
            return self._ack("unknown", refusal)

        return handle

    def _ack(self, event: str, result: Refusal | AckData) -> Ack:
        outcome = result.code if isinstance(result, Refusal) else "ok"
        self._metrics.requests.add(event, outcome)
        get_current_span().set_attribute("constellation.outcome", outcome)
        if isinstance(result, Refusal):
            return result.acknowledgement()
        return {"success": True, "data": result}


def _either(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
