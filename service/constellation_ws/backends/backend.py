"""A backend as the handlers of requests see it: it answers within its timeout.

Each has a bound of requests that wait and a breaker (`breaker`), so that one that hangs or fails
costs the clients of others nothing. How a request gets there is decided by its way (`ways`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Protocol

import msgspec
import structlog
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from constellation_ws.backends.answers import TIMED_OUT, UNAVAILABLE, BackendFailed, NoAnswer
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


class BackendOutcome(StrEnum):
    """How a request ended, as metrics and spans show it."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    """Not sent: too many wait."""
    OPEN = "open"
    """Not sent: the breaker is open."""


_FAILED = ((BackendOutcome.UNAVAILABLE, UNAVAILABLE), (BackendOutcome.TIMEOUT, TIMED_OUT))

Answered = Callable[[msgspec.Raw | Refusal], None]


class Backend(Protocol):
    """Answers clients' requests."""

    def begin(self, target: Target, request: BackendRequest, answered: Answered) -> None:
        """Call `answered` once, now or later: with the ack as the backend wrote it, or why there
        is none."""

    async def aclose(self) -> None:
        """Hang up."""


class _Sent(msgspec.Struct, frozen=True):
    """A request on its way."""

    target: Target
    admission: int
    started: float
    span: Span
    answered: Answered


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
        self._outcomes = {one: metrics.backend_requests.of(name, one) for one in BackendOutcome}
        self._oks = self._outcomes[BackendOutcome.OK]
        self._seconds = metrics.backend_seconds.of(name)
        self._state = metrics.backend_breaker.labels(name)

    def begin(self, target: Target, request: BackendRequest, answered: Answered) -> None:
        """Send a request, unless too many wait or the breaker is open; never waits."""
        if self._waiting >= self._max_concurrent:
            answered(self._refuse(BackendOutcome.BUSY))
            return
        started = self._clock()
        admission = self._breaker.admit(started)
        if admission is None:
            answered(self._refuse(BackendOutcome.OPEN))
            return
        self._show_state()
        self._waiting += 1
        span: Span = INVALID_SPAN
        traceparent = ""
        if self._tracing.is_on:
            span = self._tracing.start(f"request {self._name} {target.name}", SpanKind.CLIENT)
            request.traceparent = traceparent = traceparent_of(span)
        sent = _Sent(target, admission, started, span, answered)
        done, body = partial(self._end, sent), encode(request)
        self._tracing.within(span, self._way.begin, target, body, traceparent, done)

    async def aclose(self) -> None:
        """Hang up."""
        await self._way.aclose()

    def _end(self, sent: _Sent, result: msgspec.Raw | Refusal | BackendFailed) -> None:
        """Judge what has become of a request, count it, and answer it."""
        now = self._clock()
        self._waiting -= 1
        answer: msgspec.Raw | Refusal
        if isinstance(result, BackendFailed):
            outcome, answer = _FAILED[isinstance(result, NoAnswer)]
            self._note_failure(sent, result, outcome, now)
        else:
            is_refused = isinstance(result, Refusal)
            outcome = BackendOutcome.REFUSED if is_refused else BackendOutcome.OK
            answer = result
            self._breaker.succeeded(sent.admission)
        self._show_state()
        # The hash of an Enum is a call of its own, so the usual outcome is not looked up.
        count = self._oks if outcome is BackendOutcome.OK else self._outcomes[outcome]
        count.value += 1
        self._seconds.add(now - sent.started)
        if self._tracing.is_on:
            sent.span.set_attributes(
                {"constellation.backend": self._name, "constellation.outcome": outcome}
            )
            sent.span.end()
        sent.answered(answer)

    def _note_failure(
        self, sent: _Sent, failure: BackendFailed, outcome: BackendOutcome, now: float
    ) -> None:
        if failure.is_down:
            self._breaker.failed(sent.admission, now, failure.event)
        else:
            self._breaker.succeeded(sent.admission)
        fail(sent.span, outcome)
        # The name is in the text, since repetitions of one text are left out of the log.
        text = f"backend {self._name} did not answer a request"
        line = partial(logger.warning, text, target=sent.target.name, reason=str(failure))
        self._tracing.within(sent.span, line)

    def _refuse(self, outcome: BackendOutcome) -> Refusal:
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
