"""A backend as the handlers of requests see it: it answers within its timeout, and never raises.

Each has a bound of requests that wait and a breaker (`breaker`), so that one that hangs or fails
costs the clients of others nothing. How a request gets there is decided by its way (`ways`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec
import structlog
from opentelemetry.trace import Span, SpanKind

from constellation_ws.backends.answers import TIMED_OUT, UNAVAILABLE, BackendFailed
from constellation_ws.backends.breaker import Breaker, State
from constellation_ws.backends.request import BackendRequest, encode
from constellation_ws.backends.ways import Target, Way
from constellation_ws.messages.admission import Refusal
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.spans import fail, traceparent_of
from constellation_ws.observability.tracing import Tracing

logger = structlog.get_logger(__name__)

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Outcome(StrEnum):
    """How a request ended, as metrics and spans show it."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    """Not sent: too many wait."""
    OPEN = "open"
    """Not sent: the breaker is open."""
    CANCELLED = "cancelled"
    """The client left before."""


class Backend(Protocol):
    """Answers clients' requests."""

    async def request(self, target: Target, request: BackendRequest) -> msgspec.Raw | Refusal:
        """Give the ack as the backend wrote it, or why there is none.

        Never raises for what a backend does. May be cancelled; the backend does not notice.
        """

    async def aclose(self) -> None:
        """Hang up."""


class _End(NamedTuple):
    outcome: Outcome
    result: msgspec.Raw | Refusal
    failure: BackendFailed | None = None


class GuardedBackend:
    """A backend behind its bound and its breaker."""

    def __init__(
        self,
        name: str,
        way: Way,
        metrics: Metrics,
        *,
        max_concurrent: int,
        tracing: Tracing | NoTracing = NO_TRACING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is a word of the table: it labels metrics and is in logs."""
        self._name = name
        self._way = way
        self._max_concurrent = max_concurrent
        self._tracing = tracing
        self._clock = clock
        self._breaker = Breaker()
        self._shown = self._breaker.state
        self._waiting = 0
        self._outcomes = {one: metrics.backend_requests.of(name, one) for one in Outcome}
        self._seconds = metrics.backend_seconds.labels(name)
        self._state = metrics.backend_breaker.labels(name)

    async def request(self, target: Target, request: BackendRequest) -> msgspec.Raw | Refusal:
        """Give the ack as the backend wrote it, or why there is none."""
        if self._waiting >= self._max_concurrent:
            return self._refuse(Outcome.BUSY)
        started = self._clock()
        admission = self._breaker.admit(started)
        if admission is None:
            return self._refuse(Outcome.OPEN)
        self._show_state()
        self._waiting += 1
        outcome = Outcome.CANCELLED
        try:
            outcome, result, failure = await self._send(target, request)
            self._judge(admission, failure)
            return result
        finally:
            self._waiting -= 1
            self._breaker.abandoned(admission)  # changes nothing where it was judged
            self._show_state()
            self._outcomes[outcome].value += 1
            self._seconds.observe(self._clock() - started)

    async def aclose(self) -> None:
        """Hang up."""
        await self._way.aclose()

    async def _send(self, target: Target, request: BackendRequest) -> _End:
        with self._tracing.act(f"request {self._name} {target.name}", SpanKind.CLIENT) as span:
            if self._tracing.is_on:
                request = replace(request, traceparent=traceparent_of(span))
            end = await self._end_of(target, request)
            self._note(span, target, end)
            return end

    async def _end_of(self, target: Target, request: BackendRequest) -> _End:
        try:
            result = await self._way.send(target, encode(request), request.traceparent)
        except TimeoutError:
            return _End(Outcome.TIMEOUT, TIMED_OUT, BackendFailed("it did not answer in time"))
        except BackendFailed as error:
            return _End(Outcome.UNAVAILABLE, UNAVAILABLE, error)
        return _End(Outcome.REFUSED if isinstance(result, Refusal) else Outcome.OK, result)

    def _note(self, span: Span, target: Target, end: _End) -> None:
        span.set_attribute("constellation.backend", self._name)
        span.set_attribute("constellation.outcome", end.outcome)
        if end.failure is not None:
            fail(span, end.outcome)
            # The name is in the text, since repetitions of one text are left out of the log.
            text = f"backend {self._name} did not answer a request"
            logger.warning(text, target=target.name, reason=str(end.failure))

    def _judge(self, admission: int, failure: BackendFailed | None) -> None:
        if failure is None or not failure.is_down:
            self._breaker.succeeded(admission)
        else:
            self._breaker.failed(admission, self._clock(), failure.event)

    def _refuse(self, outcome: Outcome) -> Refusal:
        self._outcomes[outcome].value += 1
        return UNAVAILABLE

    def _show_state(self) -> None:
        """Show the breaker's state to operators, where it has changed."""
        before, state = self._shown, self._breaker.state
        if before is state:
            return
        self._shown = state
        self._state.set(_STATES[state])
        report = logger.warning if (before, state) == (State.CLOSED, State.OPEN) else logger.info
        report(
            f"circuit breaker of backend {self._name}: {state}",
            pause_seconds=self._breaker.pause_seconds,
        )
