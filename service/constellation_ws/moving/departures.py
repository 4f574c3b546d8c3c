"""The story of a session that moves away: it is quiet, it is awaited, it is given, in one step."""

from __future__ import annotations

import asyncio
import itertools
import time

import structlog
from opentelemetry.trace import SpanKind

from constellation_ws.chats.members import Members
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import Session
from constellation_ws.moving.client import MovedClient, MovedMembership, Offer, encode
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.spans import traceparent_of
from constellation_ws.observability.tracing import Tracing
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.recovery.moving import MovingSessions, Place
from constellation_ws.recovery.none import NoMoving
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.socketio.server import Server

logger = structlog.get_logger(__name__)

_PAUSES_SECONDS = (0.0, 0.05, 0.5, 3.0, 10.0)
_LATER_SECONDS = 60.0
"""Before each attempt, and before each further one. Until then the WebSocket is tunnelled."""
_QUIET_SECONDS = 2.0
_LOOK_SECONDS = 0.01


class Departures:
    """Moves sessions to where their client's WebSocket has arrived."""

    def __init__(
        self,
        engine: Engine,
        server: Server,
        members: Members,
        moving: MovingSessions | NoMoving,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        self._engine = engine
        self._server = server
        self._members = members
        self._moving = moving
        self._metrics = metrics
        self._spawn = spawn
        self._tracing = tracing

    def begin(self, session: Session, leads_there: TunnelExit) -> None:
        """Let a session move, soon, to where its client's WebSocket is."""
        self._spawn(self._depart(session, leads_there))

    async def _depart(self, session: Session, leads_there: TunnelExit) -> None:
        with self._tracing.act("move session", SpanKind.PRODUCER) as span:
            outcome = await self._try(session, leads_there, traceparent_of(span))
            span.set_attribute("constellation.outcome", outcome)
        if outcome:
            self._count(outcome)

    def _count(self, outcome: str) -> None:
        self._metrics.moved_sessions.labels("out", outcome).inc()

    async def _try(self, session: Session, leads_there: TunnelExit, traceparent: str) -> str:
        """Move a session; say what became of it, nothing where its client has left meanwhile."""
        for pause_seconds in itertools.chain(_PAUSES_SECONDS, itertools.repeat(_LATER_SECONDS)):
            await asyncio.sleep(pause_seconds)
            started = time.monotonic()
            if session.closed:
                break
            if not await self._is_quiet(session):
                continue
            offer = self._offer(session)
            if offer is None and not self._moving.can_move:
                return "declined"
            if offer is None:
                continue
            if not await leads_there.offer(encode(offer)):
                if not session.closed:
                    self._count("declined")
                continue
            if await self._is_quiet(session) and self._give(session, leads_there, traceparent):
                self._metrics.session_move.observe(time.monotonic() - started)
                return "moved"
            leads_there.keep()
        return ""

    async def _is_quiet(self, session: Session) -> bool:
        """Wait, not for long, until nothing that the client has sent is being handled."""
        until = time.monotonic() + _QUIET_SECONDS
        while not session.closed:
            websocket = session.websocket
            assert websocket is not None, "upgraded"
            if self._server.is_between_packets(session) and websocket.is_between_messages():
                return True
            if time.monotonic() > until:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    def _offer(self, session: Session) -> Offer | None:
        """Say where a session is; None where it cannot move now."""
        if session.closed:
            return None
        place: Place | None = None
        for member in self._members.of_session(session):
            place = self._moving.place_of(member) if member.stage is Stage.CONNECTED else None
            if place is None:
                return None
        return Offer(place)

    def _give(self, session: Session, leads_there: TunnelExit, traceparent: str) -> bool:
        """Give a session away; False, and all is as before, where that cannot be done now."""
        members = self._members.of_session(session)
        if not all(self._can_go(member) for member in members):
            return False
        given = [
            MovedMembership(self._members.release(member), ticket)
            for member in members
            if (ticket := self._moving.release(member)) is not None
        ]
        assert len(given) == len(members), "each of them can go"
        moved = MovedClient(self._server.release(session), given, traceparent)
        leads_there.hand_over(encode(moved))
        return True

    def _can_go(self, member: Member) -> bool:
        return member.stage is Stage.CONNECTED and self._moving.can_release(member)
