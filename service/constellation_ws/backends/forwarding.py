"""Requests of clients that a backend answers: checked here, and given to it with what is known.

A client's next request does not wait for the answer to this one, as with Socket.IO on Node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Raw
from opentelemetry.trace import SpanKind

from constellation_ws.backends.answers import REFUSED, OwnRefusal
from constellation_ws.backends.backend import Backend
from constellation_ws.backends.request import BackendRequest
from constellation_ws.backends.ways import Target
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member
from constellation_ws.interface.requests import RequestReader
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import TOO_MANY_REQUESTS, Refusal
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.runtime.spawning import Spawn

MAX_UNANSWERED = 8
"""Requests of one member that wait for a backend at once: no client may use up its bound."""

NO_BINARY = Refusal("binary_not_supported", "This request cannot have binary values.")
NOT_IN_ROOM = Refusal("forbidden", "You are not in the room that this request needs.")

Reply = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """A row, and where its requests go."""

    row: RequestRow
    reader: RequestReader
    backend: Backend
    target: Target


class Forwarding:
    """Gives requests to backends."""

    def __init__(
        self,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
        *,
        max_id_chars: int,
    ) -> None:
        self._metrics = metrics
        self._spawn = spawn
        self._tracing = tracing
        self._max_id_chars = max_id_chars
        self._unanswered: Counter[Member] = Counter()

    def starter(
        self, row: RequestRow, backend: Backend, target: Target
    ) -> Callable[[ClientRequest, Reply], None]:
        """Make what begins to answer the requests of a row, and never waits."""
        forwarded = _Forwarded(row, RequestReader(row, self._max_id_chars), backend, target)

        def begin(request: ClientRequest, reply: Reply) -> None:
            self._spawn(self._answer(forwarded, request, reply))

        return begin

    async def _answer(self, forwarded: _Forwarded, request: ClientRequest, reply: Reply) -> None:
        event = forwarded.row.event
        with self._tracing.act(event, SpanKind.SERVER, link=request.link) as span:
            if request.member.user:
                span.set_attribute("user.id", request.member.user)
            result = await self._ask(forwarded, request)
            outcome = _outcome_of(result)
            span.set_attribute("constellation.outcome", outcome)
        self._metrics.requests.labels(event, outcome).inc()
        reply(result.acknowledgement() if isinstance(result, Refusal) else result)

    async def _ask(self, forwarded: _Forwarded, request: ClientRequest) -> Raw | Refusal:
        member, raw = request.member, request.raw
        if raw is None:
            return NO_BINARY
        wanted = forwarded.reader.read(bytes(raw))
        if isinstance(wanted, Refusal):
            return wanted
        if wanted.in_room is not None and member.scope + wanted.in_room not in member.rooms:
            return NOT_IN_ROOM
        if self._unanswered[member] >= MAX_UNANSWERED:
            return TOO_MANY_REQUESTS
        self._unanswered[member] += 1
        try:
            asked = _backend_request(forwarded.row, request, raw)
            return await forwarded.backend.request(forwarded.target, asked)
        finally:
            self._unanswered[member] -= 1
            if not self._unanswered[member]:
                del self._unanswered[member]


def _outcome_of(result: Raw | Refusal) -> str:
    """Name how a request ended in words of ours: those of a backend would be labels without end."""
    if isinstance(result, OwnRefusal):
        return REFUSED.code
    return result.code if isinstance(result, Refusal) else "ok"


def _backend_request(row: RequestRow, request: ClientRequest, raw: Raw) -> BackendRequest:
    member = request.member
    claims = (member.identity.claims if member.identity is not None else None) or {}
    return BackendRequest(
        event=row.event,
        data=raw,
        user=member.user or None,
        claims={name: claims[name] for name in row.claims if name in claims}
        if row.claims
        else None,
        sid=member.sid,
        namespace=row.namespace,
        rooms=_rooms_of(member) if row.rooms else None,
        address=request.address,
    )


def _rooms_of(member: Member) -> list[str]:
    """Name a member's rooms as its namespace does."""
    rooms = member.rooms.difference([member.scope])
    return sorted(room.removeprefix(member.scope) for room in rooms)
