"""The story of a session that arrives: what was delivered meanwhile is sent, and it goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from opentelemetry.trace import SpanKind

from constellation_ws.chats.namespace import Chats, MovedMember
from constellation_ws.engine.server import Engine
from constellation_ws.messages import trace_context
from constellation_ws.messages.commands import Selection
from constellation_ws.messages.events import Room
from constellation_ws.messages.frames import Frame
from constellation_ws.moving.client import MovedClient, decode_client, decode_offer
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.recovery.missed import Found
from constellation_ws.recovery.moving import MovingSessions, Place
from constellation_ws.recovery.none import NoMoving
from constellation_ws.runtime.spawning import Spawn

logger = structlog.get_logger(__name__)

_RETAINED_DISCONNECTS = 1_000
"""A session is between two pods for some milliseconds."""


class Arrivals:
    """Goes on with sessions of other pods, whose client's WebSocket is here."""

    def __init__(
        self,
        engine: Engine,
        chats: Chats,
        moving: MovingSessions | NoMoving,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        self._engine = engine
        self._chats = chats
        self._moving = moving
        self._metrics = metrics
        self._spawn = spawn
        self._tracing = tracing
        self._disconnects = 0
        self._disconnected: deque[tuple[int, Selection]] = deque(maxlen=_RETAINED_DISCONNECTS)

    def note_disconnect(self, meant: Selection) -> None:
        """Take note that members are being disconnected.

        One that is between two pods is found by neither.
        """
        self._disconnects += 1
        self._disconnected.append((self._disconnects, meant))

    def expect(self, offer: bytes, answer: Callable[[bool], None]) -> int:
        """Say, soon, whether a session can go on here. Returns what `take` is to be given.

        Raises what is UNREADABLE on a link, as `take` does.
        """
        self._spawn(self._expect(decode_offer(offer).place, answer))
        return self._disconnects

    async def _expect(self, place: Place | None, answer: Callable[[bool], None]) -> None:
        is_expected = place is None or await self._moving.expects(place)
        answer(is_expected and self._engine.admit_tunnel() is None)

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Let a session go on here, with this transport, which is not read now. Never waits.

        `early` are bytes that were read of it already.
        """
        self._spawn(self._take(decode_client(session), expected, transport, early))

    async def _take(
        self, client: MovedClient, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        parent = trace_context.parse(client.traceparent, None)
        with self._tracing.act("take session", SpanKind.CONSUMER, parent=parent) as span:
            found: Found | None = None
            if client.member is not None and client.ticket is not None:
                rooms = frozenset(client.member.rooms)
                found = await self._moving.find(client.ticket, client.member.sid, rooms)
                if found is None:
                    transport.abort()  # its client comes back and resumes
            is_moved = client.member is None or found is not None
            span.set_attribute("constellation.outcome", "moved" if is_moved else "failed")
        self._metrics.moved_sessions.labels("in", "moved" if is_moved else "failed").inc()
        if is_moved:
            self._go_on(client, found, transport, early)
            if client.member is not None and self._is_unwanted(client.member, expected):
                await self._chats.disconnect(Selection((Room(client.member.sid),), ()))

    def _is_unwanted(self, moved: MovedMember, expected: int) -> bool:
        """Tell whether somebody has disconnected it while it was between two pods."""
        names = {moved.sid, *moved.rooms}
        return any(
            number > expected and meant.reaches(names) for number, meant in self._disconnected
        )

    def _go_on(
        self,
        client: MovedClient,
        found: Found | None,
        transport: asyncio.Transport,
        early: bytes,
    ) -> None:
        """Let a session be live: nothing may come between what was found and this."""
        connection = self._engine.adopt(client.session, transport)
        session = self._engine.sockets[client.session.sid]
        if client.member is not None and client.ticket is not None and found is not None:
            member = self._chats.adopt(client.member, session, found.rooms)
            self._moving.go_on(member, client.ticket, found)
            _send(session.write, found.frames, with_offsets=member.wants_offsets)
        else:
            self._engine.expect_use(session)
        transport.set_protocol(connection)
        if transport.get_write_buffer_size() > self._engine.limits.max_write_buffer_bytes:
            connection.pause_writing()  # the transport has said so once, to who had it before
        if transport.is_closing():
            connection.connection_lost(None)  # its client has left on the way
            return
        transport.resume_reading()
        if early:
            connection.data_received(early)


def _send(
    write: Callable[[bytes], None] | None, frames: list[Frame], *, with_offsets: bool
) -> None:
    if frames and write is not None:
        write(b"".join([frame.websocket(with_offsets) for frame in frames]))
