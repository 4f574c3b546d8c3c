"""Requests of clients that a backend answers: checked here, and given to it with what is known.

A client's next request does not wait for the answer to this one, as with Socket.IO on Node.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import UNSET, Raw
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from constellation_ws.backends.answers import REFUSED, OwnRefusal
from constellation_ws.backends.backend import Backend
from constellation_ws.backends.request import BackendRequest, chosen_claims
from constellation_ws.backends.ways import Target
from constellation_ws.delivery.rooms import Member
from constellation_ws.interface.requests import RequestReader
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages import trace_context
from constellation_ws.messages.admission import TOO_MANY_REQUESTS, Refusal
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing

MAX_UNANSWERED = 8
"""Requests of one member that wait for a backend at once: no client may use up its bound."""

_OK = "ok"
NO_BINARY = Refusal("binary_not_supported", "This request cannot have binary values.")
NOT_IN_ROOM = Refusal("forbidden", "You are not in the room that this request needs.")

Reply = Callable[[Raw | bytes], None]
"""Sends the ack, which is JSON text."""


class Forwarder:
    """Gives the requests of one row to a backend."""

    def __init__(
        self,
        row: RequestRow,
        backend: Backend,
        target: Target,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
        *,
        max_id_chars: int,
    ) -> None:
        self._row = row
        self._reader = RequestReader(row, max_id_chars)
        self._backend = backend
        self._target = target
        self._metrics = metrics
        self._oks = metrics.requests.of(row.event, _OK)
        self._tracing = tracing

    def begin(self, member: Member, argument: Raw | None, address: str, reply: Reply) -> None:
        """Begin to answer a request, and never wait; `reply` is called once.

        `argument` is the first one as the client wrote it, None where it has binary values;
        `address` is the client's.
        """
        span = self._start_span(member, argument)
        asked = self._read(member, argument, address)
        if isinstance(asked, Refusal):
            self._end(span, reply, asked)
            return
        member.begin_request()
        answered = partial(self._answer, member, span, reply)
        self._tracing.within(span, self._backend.begin, self._target, asked, answered)

    def _start_span(self, member: Member, argument: Raw | None) -> Span:
        if not self._tracing.is_on:
            return INVALID_SPAN
        # What the client says of its own trace is a link, never a parent: else whoever can reach
        # the port could have all that it does recorded.
        link = trace_context.read(bytes(argument or b""))
        span = self._tracing.start(self._row.event, SpanKind.SERVER, link=link)
        if member.user:
            span.set_attribute("user.id", member.user)
        return span

    def _read(self, member: Member, argument: Raw | None, address: str) -> BackendRequest | Refusal:
        if argument is None:
            return NO_BINARY
        wanted = self._reader.read(bytes(argument))
        if isinstance(wanted, Refusal):
            return wanted
        if wanted.in_room is not None and member.scope + wanted.in_room not in member.rooms:
            return NOT_IN_ROOM
        if member.unanswered >= MAX_UNANSWERED:
            return TOO_MANY_REQUESTS
        row, identity = self._row, member.identity
        return BackendRequest(
            event=row.event,
            data=argument,
            userId=member.user or UNSET,
            claims=chosen_claims((identity and identity.claims) or {}, row.claims)
            if row.claims
            else UNSET,
            sid=member.sid,
            namespace=row.namespace,
            rooms=_rooms_of(member) if row.rooms else UNSET,
            address=address,
        )

    def _answer(self, member: Member, span: Span, reply: Reply, result: Raw | Refusal) -> None:
        member.end_request()
        self._end(span, reply, result)

    def _end(self, span: Span, reply: Reply, result: Raw | Refusal) -> None:
        outcome = _outcome_of(result)
        if outcome == _OK:
            self._oks.value += 1
        else:
            self._metrics.requests.add(self._row.event, outcome)
        if self._tracing.is_on:
            span.set_attribute("constellation.outcome", outcome)
            span.end()
        if isinstance(result, Refusal):
            reply(msgspec.json.encode(result.acknowledgement()))
        else:
            reply(result)


def _outcome_of(result: Raw | Refusal) -> str:
    """Name how a request ended in words of ours: those of a backend would be labels without end."""
    if not isinstance(result, Refusal):
        return _OK
    return REFUSED.code if isinstance(result, OwnRefusal) else result.code


def _rooms_of(member: Member) -> list[str]:
    """Name a member's rooms as its namespace does."""
    rooms = member.rooms.difference([member.scope])
    return sorted(room.removeprefix(member.scope) for room in rooms)
