"""Moves a session away: waits until it is quiet, offers it, and sends it to the other pod."""

from __future__ import annotations

import asyncio
import itertools
import time

import structlog
from opentelemetry.trace import SpanKind

from constellation_ws.chats.members import Members
from constellation_ws.delivery.rooms import Member, Stage
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import EngineSession
from constellation_ws.moving.client import MovedClient, MovedMembership, Offer, encode
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.spans import traceparent_of
from constellation_ws.observability.tracing import Tracing
from constellation_ws.peers.tunnel_exit import TunnelExit
from constellation_ws.recovery.moving import LogPosition, MovingSessions
from constellation_ws.recovery.none import NoMoving
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.socketio.server import Server

logger = structlog.get_logger(__name__)

_PAUSES_SECONDS = (0.0, 0.05, 0.5, 3.0, 10.0)
_LATER_SECONDS = 60.0
"""Pauses before the attempts, and before each later one. The WebSocket is tunnelled meanwhile."""
_QUIET_SECONDS = 2.0
_LOOK_SECONDS = 0.01


class Departures:
    """Moves sessions to the pods that have received their clients' WebSockets."""

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

    def begin(self, session: EngineSession, tunnel: TunnelExit) -> None:
        """Begin to move a session through the tunnel of its WebSocket."""
        self._spawn(self._depart(session, tunnel))

    async def _depart(self, session: EngineSession, tunnel: TunnelExit) -> None:
        with self._tracing.act("move session", SpanKind.PRODUCER) as span:
            outcome = await self._try(session, tunnel, traceparent_of(span))
            span.set_attribute("constellation.outcome", outcome)
        if outcome:
            self._count(outcome)

    def _count(self, outcome: str) -> None:
        self._metrics.moved_sessions.labels("out", outcome).inc()

    async def _try(self, session: EngineSession, tunnel: TunnelExit, traceparent: str) -> str:
        """Move a session; return the outcome, empty if its client has disconnected meanwhile."""
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
            if not await tunnel.offer(encode(offer)):
                if not session.closed:
                    self._count("declined")
                continue
            if await self._is_quiet(session) and self._send(session, tunnel, traceparent):
                self._metrics.session_move.observe(time.monotonic() - started)
                return "moved"
            tunnel.keep()
        return ""

    async def _is_quiet(self, session: EngineSession) -> bool:
        """Wait up to 2 seconds until nothing that the client has sent is being handled."""
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

    def _offer(self, session: EngineSession) -> Offer | None:
        """Return the offer of a session; None if it cannot move now."""
        if session.closed:
            return None
        place: LogPosition | None = None
        for member in self._members.of_session(session):
            place = self._moving.position_of(member) if member.stage is Stage.CONNECTED else None
            if place is None:
                return None
        return Offer(place)

    def _send(self, session: EngineSession, tunnel: TunnelExit, traceparent: str) -> bool:
        """Send a session to the other pod. Returns False, without effect, if it cannot move now."""
        members = self._members.of_session(session)
        if not all(self._can_go(member) for member in members):
            return False
        memberships = [
            MovedMembership(self._members.release(member), ticket)
            for member in members
            if (ticket := self._moving.release(member)) is not None
        ]
        assert len(memberships) == len(members), "each of them can go"
        moved = MovedClient(self._server.release(session), memberships, traceparent)
        tunnel.send_session(encode(moved))
        return True

    def _can_go(self, member: Member) -> bool:
        return member.stage is Stage.CONNECTED and self._moving.can_release(member)
