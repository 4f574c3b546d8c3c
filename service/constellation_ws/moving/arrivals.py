"""Receives a session from another pod: sends what was delivered meanwhile, and continues it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from opentelemetry.trace import SpanKind

from constellation_ws.chats.members import Members, MovedMember
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.connection import WebSocketConnection
from constellation_ws.engine.server import Engine
from constellation_ws.messages import trace_context
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import Room
from constellation_ws.messages.frames import Frame
from constellation_ws.moving.client import MovedClient, MovedMembership, decode_client, decode_offer
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.recovery.missed import Found
from constellation_ws.recovery.moving import LogPosition, MovingSessions
from constellation_ws.recovery.none import NoMoving
from constellation_ws.runtime.spawning import Spawn

logger = structlog.get_logger(__name__)

_RETAINED_DISCONNECTS = 1_000
"""Disconnects that are retained: a session is between two pods for some milliseconds."""


class Arrivals:
    """Continues sessions of other pods whose client's WebSocket is at this pod."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        members: Members,
        moving: MovingSessions | NoMoving,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._members = members
        self._moving = moving
        self._metrics = metrics
        self._spawn = spawn
        self._tracing = tracing
        self._disconnects = 0
        self._disconnected: deque[tuple[int, Selection]] = deque(maxlen=_RETAINED_DISCONNECTS)

    def note_disconnect(self, meant: Selection) -> None:
        """Note that members are disconnected, as one that is between two pods is found by
        neither."""
        self._disconnects += 1
        self._disconnected.append((self._disconnects, meant))

    def expect(self, offer: bytes, reply: Callable[[bool], None]) -> int:
        """Call `reply`, soon, with whether a session may move here. Returns an argument of `take`.

        Raises one of the link's UNREADABLE errors, as `take` does.
        """
        self._spawn(self._expect(decode_offer(offer).place, reply))
        return self._disconnects

    async def _expect(self, place: LogPosition | None, reply: Callable[[bool], None]) -> None:
        is_expected = place is None or await self._moving.expects(place)
        reply(is_expected and self._admission.admit_tunnel() is None)

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Continue a session here, with this transport, whose reading is paused. Does not block.

        `early` are bytes that were already read from it.
        """
        self._spawn(self._take(decode_client(session), expected, transport, early))

    async def _take(
        self, client: MovedClient, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        parent = trace_context.parse(client.traceparent, None)
        with self._tracing.act("take session", SpanKind.CONSUMER, parent=parent) as span:
            connection = await self._adopt(client, transport)
            outcome = "moved" if connection is not None else "failed"
            span.set_attribute("constellation.outcome", outcome)
        self._metrics.moved_sessions.labels("in", outcome).inc()
        if connection is not None:
            self._begin_reading(connection, transport, early)
            for membership in client.memberships:
                if self._is_unwanted(membership.member, expected):
                    own_room = Room(membership.member.own_room)
                    await self._members.disconnect(Selection((own_room,), ()))

    async def _adopt(
        self, client: MovedClient, transport: asyncio.Transport
    ) -> WebSocketConnection | None:
        """Continue a session in each of its namespaces. If one fails, close it and return None."""
        connection: WebSocketConnection | None = None
        for membership in client.memberships:
            member, ticket = membership.member, membership.ticket
            found: Found | None = None
            if self._members.serves(member.scope):
                found = await self._moving.find(ticket, member.own_room, frozenset(member.rooms))
            # From here on nothing waits: what is delivered next reaches the member itself.
            if found is None:
                transport.abort()  # its client reconnects and resumes
                if connection is not None:
                    connection.connection_lost(None)
                return None
            connection = connection or self._engine.adopt(client.session, transport)
            self._go_on(client, membership, found)
        if connection is None:
            connection = self._engine.adopt(client.session, transport)
            self._engine.expect_use(self._engine.sockets[client.session.sid])
        return connection

    def _is_unwanted(self, moved: MovedMember, expected: int) -> bool:
        """Return whether it was disconnected while it was between two pods."""
        names = {moved.own_room, *moved.rooms}
        return any(
            number > expected and meant.reaches(names, moved.scope)
            for number, meant in self._disconnected
        )

    def _go_on(self, client: MovedClient, membership: MovedMembership, found: Found) -> None:
        """Make a session live in a namespace, behind what was found."""
        session = self._engine.sockets.get(client.session.sid)
        if session is None:
            return  # it was closed while another of its namespaces was handled
        member = self._members.adopt(membership.member, session, found.rooms)
        self._moving.go_on(member, membership.ticket, found)
        _send(session.write, found.frames, with_offsets=member.has_offsets)

    def _begin_reading(
        self, connection: WebSocketConnection, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Give a connection its transport."""
        transport.set_protocol(connection)
        if transport.get_write_buffer_size() > self._engine.limits.max_write_buffer_bytes:
            connection.pause_writing()  # the transport has called it once, on the former protocol
        if transport.is_closing():
            connection.connection_lost(None)  # its client has disconnected during the move
            return
        transport.resume_reading()
        if early:
            connection.data_received(early)


def _send(
    write: Callable[[bytes], None] | None, frames: list[Frame], *, with_offsets: bool
) -> None:
    if frames and write is not None:
        write(b"".join([frame.websocket(with_offsets) for frame in frames]))
