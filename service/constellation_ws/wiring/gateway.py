"""All parts of one process, made from the settings in the order in which they need each other.

Nothing runs here. Parts do not know each other's owners: what one does for another is an argument.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable

from constellation_ws.chats.gate import Gate
from constellation_ws.chats.namespace import Chats
from constellation_ws.chats.presence import Presence
from constellation_ws.delivery import routes
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Member
from constellation_ws.engine.elsewhere import Elsewhere, Nowhere
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import Session
from constellation_ws.http.addresses import Proxies
from constellation_ws.messages import commands
from constellation_ws.messages.events import NAMESPACE
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS
from constellation_ws.moving.arrivals import Arrivals
from constellation_ws.moving.departures import Departures
from constellation_ws.nest.rpc import Rpc
from constellation_ws.nest.server import NestTcp
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import Check, Health, Phase
from constellation_ws.observability.tracing import NO_TRACING, NoTracing, Tracing
from constellation_ws.peers.directory import Directory
from constellation_ws.peers.peers import Peers
from constellation_ws.peers.tunnel import Entrance
from constellation_ws.recovery.none import NoSessions
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.runtime import open_files
from constellation_ws.runtime.overload import Overload
from constellation_ws.runtime.pressure import Pressure, find_memory_limit
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.actions import Actions
from constellation_ws.services.sending import Sending
from constellation_ws.settings.settings import Settings
from constellation_ws.socketio.membership import Membership
from constellation_ws.socketio.server import Server
from constellation_ws.wiring import bounds
from constellation_ws.wiring.chat_access import make_access
from constellation_ws.wiring.consumer import Consumer
from constellation_ws.wiring.disconnecting import Disconnecting
from constellation_ws.wiring.durable import Durable
from constellation_ws.wiring.errands import Errands
from constellation_ws.wiring.identification import identification
from constellation_ws.wiring.listing import Listing
from constellation_ws.wiring.live import Live
from constellation_ws.wiring.peering import Inside, Outside
from constellation_ws.wiring.readiness import (
    check_load,
    check_peers,
    check_room,
    check_source,
)
from constellation_ws.wiring.redis_clients import RedisClients
from constellation_ws.wiring.services import make_api

_TRACE_HEADERS = frozenset(key.encode() for key in TRACE_KEYS)


class Gateway:
    """The parts; `lifecycle` gives them their lives."""

    def __init__(
        self, settings: Settings, spawn: Spawn, tracing: Tracing | NoTracing = NO_TRACING
    ) -> None:
        """`spawn` runs what parts begin by themselves."""
        self.settings = settings
        self.tracing = tracing
        self.metrics = Metrics()
        self.health = Health()
        self.drain_deadline = 0.0
        """Unix time by which the drain should have ended; 0 before it has begun."""
        self.names = settings.redis_names()
        self.redis_endpoint = Endpoint(settings.redis_address(), self.names)
        self.redis = RedisClients(self.redis_endpoint)
        emitters = settings.emitter_channels()
        table = routes.load(
            settings.routes_file,
            is_traced=tracing.is_on,
            own_prefix=settings.redis_prefix,
            emitters=emitters,
        )
        is_durable = settings.delivery == "durable"
        bus_redis = self.redis.vital if is_durable else self.redis.once
        self.bus = RedisBus(bus_redis, table, self.metrics, self.names, emitters)
        membership = Membership()
        self.rooms = membership.rooms_of(NAMESPACE)
        self.fanout = Fanout()
        relay = Relay(
            table,
            self.rooms,
            self.fanout,
            self.metrics,
            max_event_bytes=settings.max_event_bytes,
            tracing=tracing,
            emitters=emitters,
        )
        self.delivery: Durable | Live
        if is_durable:
            self.delivery = Durable(
                settings, self.redis, self.bus, self.names, relay, self.rooms, self.metrics
            )
        else:
            self.delivery = Live(settings, self.redis, self.bus, self.names, self.metrics)
        self.sessions = self.delivery.resuming.sessions
        self.http_connections: set[object] = set()
        """Open connections of the HTTP port that are no WebSocket; uvicorn keeps them there."""
        self.overload = Overload()
        self.pressure = Pressure(self.overload, self.metrics, find_memory_limit())
        self.files = open_files.share(
            open_files.limit(), settings.tcp_max_connections, settings.api_connections()
        )
        trace_headers = _TRACE_HEADERS if tracing.is_on else frozenset()
        self.identification = identification(settings, also_kept=trace_headers)
        tunnels: set[Entrance] = set()
        self.engine = Engine(
            bounds.engine_limits(settings, self.files),
            pod_tag=self.bus.instance,
            cors_origins=settings.cors_origins,
            spawn=spawn,
            observer=_EngineReport(self.metrics, self.sessions),
            kept_headers=self.identification.kept_headers,
            proxies=Proxies(settings.trusted_proxies),
            http_connections=self.http_connections,
            tunnels=tunnels,
            is_overloaded=self.overload.is_on,
        )
        limits = bounds.client_limits(settings)
        gate = Gate(self.rooms, limits, self.metrics)
        self.server = Server(self.engine, membership, gate.check)
        self.errands = Errands(self.metrics)
        self.access = make_access(settings, self.metrics, spawn)
        self.recovery = self.delivery.resuming.recovery(
            self.bus.instance,
            self.rooms,
            self.metrics,
            access=self.access,
            close=self._close_member,
            fence=self._fence_soon,
            tracing=tracing,
        )
        self.presence = Presence(self.redis.requests, self.bus.instance, self.names)
        self.chats = Chats(
            self.server,
            self.rooms,
            limits,
            self.metrics,
            identify=self.identification.identify,
            access=self.access,
            recovery=self.recovery,
            sessions=self.sessions,
            attendance=self.presence,
            verify_token=self.identification.verify,
            tracing=tracing,
        )
        self.polls = Polls(self.engine)
        moving = self.delivery.resuming.moving()
        parts = (self.chats, moving, self.metrics, spawn, tracing)
        inside = Inside(
            self.engine,
            self.polls,
            Departures(self.engine, self.server, *parts),
            self._close_for_peer,
            tracing,
        )
        instance = self.bus.instance
        self.directory = Directory(self.redis.requests, self.names, instance)
        self.peers = Peers(instance, self.directory, inside, self.metrics, spawn, tunnels)
        self.elsewhere: Elsewhere = Nowhere()
        arrivals = Arrivals(self.engine, *parts)
        if settings.peer_port is not None:
            self.elsewhere = Outside(self.engine, self.peers, arrivals, self.metrics, tracing)
        disconnecting = Disconnecting(self.chats, self.bus, self.errands, arrivals.note_disconnect)
        self.consumer = Consumer(
            relay,
            self.access,
            self.sessions,
            self.recovery,
            disconnecting.begin,
            Listing(self.rooms, self.bus, self.errands).begin,
        )
        # Each port of services sends in a queue of its own: one that is flooded holds up no other.
        over_tcp, over_http = (
            Actions(
                self.bus,
                self.presence,
                table,
                Sending(self.delivery.send_all, spawn),
                self.delivery.once,
                tracing,
                self.names,
                max_event_bytes=settings.max_event_bytes,
            )
            for _ in range(2)
        )
        rpc = Rpc(over_tcp, table, socket.gethostname(), tracing)
        self.tcp = NestTcp(
            rpc.patterns(),
            _TcpReport(self.metrics),
            bounds.tcp_limits(settings, self.files),
            spawn,
            bounds.tcp_tls(settings),
        )
        self.api = make_api(settings, over_http, table, self.metrics, self.health, spawn)
        self.health.readiness += self._readiness()

    def begin_drain(self, deadline: float) -> None:
        """Take nobody new; by this Unix time the drain should have ended."""
        self.drain_deadline = deadline
        self.health.enter(Phase.DRAINING)
        self.engine.close_to_new()
        self.chats.begin_drain()

    def close_session(self, session: Session, reason: str) -> None:
        """Close a connection after all that was sent to it; its client comes back and goes on."""
        member = self.rooms.by_eio_sid(session.sid)
        if member is not None and not session.closed:
            self.sessions.closing(member)
        self.server.end(session, reason)

    def _close_for_peer(self, sid: str) -> None:
        """Close a session whose client's WebSocket is at a pod that is about to stop."""
        session = self.engine.sockets.get(sid)
        if session is not None:
            self.close_session(session, "drain")

    def _close_member(self, member: Member, reason: str) -> None:
        session = self.engine.sockets.get(member.eio_sid)
        if session is not None:
            self.server.end(session, reason)

    def _fence_soon(self, sid: str, owner: str) -> None:
        fence = commands.Fence(sid, owner)
        self.errands.put(fence, functools.partial(self.bus.tell, fence))

    def _readiness(self) -> list[Callable[[], Check]]:
        checks = [
            *self.delivery.readiness(),
            self._check_redis,
            lambda: check_room(self.engine),
            lambda: check_load(self.overload),
        ]
        if self.settings.peer_port is not None:
            checks.append(lambda: check_peers(self.directory))
        if self.identification.endpoint is not None:
            checks.append(self.identification.check)
        return checks

    def _check_redis(self) -> Check:
        return check_source(
            "redis",
            has_stood=self.bus.has_subscribed,
            lost_at=self.bus.lost_at,
            grace=self.settings.redis_grace_seconds,
        )


class _EngineReport(Observer):
    """What the engine reports, as metrics, and as what clients have provably received."""

    def __init__(self, metrics: Metrics, sessions: Sessions | NoSessions) -> None:
        self._metrics = metrics
        self._sessions = sessions

    def refused(self, code: str) -> None:
        self._metrics.connects.add(code)

    def dropped(self) -> None:
        self._metrics.slow_consumers.inc()

    def pinged(self, sid: str) -> None:
        self._sessions.pinged(sid)

    def ponged(self, sid: str) -> None:
        self._sessions.ponged(sid)

    def close_answered(self, sid: str) -> None:
        self._sessions.close_answered(sid)


class _TcpReport:
    """What the TCP door reports, as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def connection_opened(self) -> None:
        self._metrics.tcp_connections.inc()

    def connection_closed(self) -> None:
        self._metrics.tcp_connections.dec()

    def request(self, pattern: str, outcome: str, seconds: float) -> None:
        self._metrics.tcp_requests.labels(pattern, outcome).observe(seconds)

    def refused(self, reason: str) -> None:
        self._metrics.tcp_refused.labels(reason).inc()
