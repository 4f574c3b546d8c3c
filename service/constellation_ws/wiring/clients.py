"""What serves the clients of this pod, made from the settings."""

from __future__ import annotations

from collections.abc import Iterable

from constellation_ws.auth.authentication import Anyone
from constellation_ws.backends.forwarding import Forwarder
from constellation_ws.chats.gate import Gate
from constellation_ws.chats.members import Members
from constellation_ws.chats.namespace import Namespace
from constellation_ws.chats.presence import Presence
from constellation_ws.engine.admission import Admission
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.polls import Polls
from constellation_ws.engine.server import Engine
from constellation_ws.http.addresses import Proxies
from constellation_ws.interface.rows import NamespaceRow, RequestRow
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.tracing import Tracing
from constellation_ws.peers.tunnel_entrance import TunnelEntrance
from constellation_ws.recovery.none import NoRecovery, NoSessions
from constellation_ws.recovery.resume import Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.runtime import open_files
from constellation_ws.runtime.due import DueTimes
from constellation_ws.runtime.overload import Overload
from constellation_ws.runtime.pressure import Pressure, find_memory_limit
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.settings.settings import Settings, environment
from constellation_ws.socketio.server import Server
from constellation_ws.wiring import bounds
from constellation_ws.wiring.acknowledging import Acknowledging
from constellation_ws.wiring.announcing import make_announcing
from constellation_ws.wiring.backends import Backends
from constellation_ws.wiring.background_jobs import BackgroundJobs
from constellation_ws.wiring.chat_access import make_access
from constellation_ws.wiring.events import Events
from constellation_ws.wiring.fencing import Fencing
from constellation_ws.wiring.identification import Identification, identification
from constellation_ws.wiring.session_closing import SessionClosing

_TRACE_HEADERS = frozenset(key.encode() for key in TRACE_KEYS)


class Clients:
    """Their transports, the namespaces, who they are, what they may do, and who is online."""

    def __init__(
        self,
        settings: Settings,
        events: Events,
        jobs: BackgroundJobs,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        self.overload = Overload()
        self.memory = find_memory_limit()
        """None where the container has no limit of its own."""
        self.pressure = Pressure(self.overload, metrics, self.memory)
        self.files = open_files.share(
            open_files.limit(), settings.limits.tcp_max_connections, settings.api_connections()
        )
        self.http_connections: set[object] = set()
        """Open connections of the public port that are no WebSocket; uvicorn keeps them there."""
        self.tunnels: set[TunnelEntrance] = set()
        """WebSockets of this pod whose session is on another one."""
        self.identification = self._make_identification(settings, events, tracing)
        self.engine = self._make_engine(settings, events, metrics, spawn)
        self.admission = self._make_admission(settings)
        gate = Gate(bounds.client_limits(settings.limits), metrics)
        self.acknowledging = Acknowledging(events.bus.all_pods, jobs, metrics)
        self.server = Server(self.engine, events.membership, gate.check, self.acknowledging.take)
        self.closing = SessionClosing(self.engine, self.server, events.rooms, events.sessions)
        self.access = make_access(settings.chat_access, metrics, spawn)
        self.recovery = self._make_recovery(events, jobs, metrics, tracing)
        redis, instance, names = events.redis.requests, events.bus.instance, events.names
        watches, presence = events.interface.watches, settings.presence
        self.announcing = make_announcing(presence, redis, names, instance, metrics, watches)
        self.presence = self._make_presence(settings, events)
        self.expiries = DueTimes()
        """When the tokens of which members end, by `Member.key`."""
        self.members = self._make_members(settings, events, metrics, tracing)
        interface, endpoint, keys = events.interface, events.redis_endpoint, environment()
        self.backends = Backends(interface, events.redis, endpoint, metrics, tracing, spawn, keys)
        self._forward(interface.requests, metrics, tracing, settings.limits.max_id_chars)
        self.polls = Polls(self.engine, self.admission)

    def _make_presence(self, settings: Settings, events: Events) -> Presence:
        redis, announcer = events.redis.requests, self.announcing.announcer
        partitions = settings.delivery.partitions()
        return Presence(redis, events.bus.instance, events.names, announcer, partitions=partitions)

    def _make_identification(
        self, settings: Settings, events: Events, tracing: Tracing | NoTracing
    ) -> Identification:
        trace_headers = _TRACE_HEADERS if tracing.is_on else frozenset()
        claims = frozenset(claim for row in events.interface.requests for claim in row.claims)
        return identification(settings, trace_headers, claims)

    def _make_admission(self, settings: Settings) -> Admission:
        return Admission(
            self.engine,
            cors_origins=settings.listening.cors_origins,
            proxies=Proxies(settings.limits.trusted_proxies),
            http_connections=self.http_connections,
            tunnels=self.tunnels,
            is_overloaded=self.overload.is_on,
        )

    def _forward(
        self,
        requests: Iterable[RequestRow],
        metrics: Metrics,
        tracing: Tracing | NoTracing,
        max_id_chars: int,
    ) -> None:
        """Have the requests forwarded that name a backend."""
        for row in requests:
            if row.to is not None:
                backend, target = self.backends.find(row)
                forwarder = Forwarder(
                    row, backend, target, metrics, tracing, max_id_chars=max_id_chars
                )
                self.server.requests.forward(row.namespace, row.event, forwarder.begin)

    def _make_recovery(
        self,
        events: Events,
        jobs: BackgroundJobs,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
    ) -> Recovery | NoRecovery:
        return events.delivery.resuming.recovery(
            events.bus.instance,
            events.rooms,
            metrics,
            access=self.access,
            close=self.closing.close_member,
            fence=Fencing(events.bus.all_pods, jobs).begin,
            tracing=tracing,
        )

    def _make_engine(
        self, settings: Settings, events: Events, metrics: Metrics, spawn: Spawn
    ) -> Engine:
        return Engine(
            bounds.engine_limits(settings, self.files),
            pod_tag=events.bus.instance,
            spawn=spawn,
            turns=TurnQueue(count_pause=metrics.reading_paused.inc),
            observer=_EngineReport(metrics, events.sessions),
            kept_headers=self.identification.kept_headers,
        )

    def _make_members(
        self,
        settings: Settings,
        events: Events,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
    ) -> Members:
        homes = {
            events.namespaces.scope(row.name): self._make_namespace(
                row, settings, events, metrics, tracing
            )
            for row in events.interface.namespaces
        }
        return Members(events.rooms, homes)

    def _make_namespace(
        self,
        row: NamespaceRow,
        settings: Settings,
        events: Events,
        metrics: Metrics,
        tracing: Tracing | NoTracing,
    ) -> Namespace:
        is_identified = row.identity == "required"
        return Namespace(
            row.name,
            events.namespaces.scope(row.name),
            [one for one in events.interface.requests if one.namespace == row.name],
            self.server,
            events.rooms,
            bounds.client_limits(settings.limits),
            metrics,
            authentication=self.identification.authentication if is_identified else Anyone(),
            access=self.access,
            recovery=self.recovery,
            sessions=events.sessions,
            attendance=self.presence,
            board=events.board,
            expiries=self.expiries,
            tracing=tracing,
        )


class _EngineReport(Observer):
    """What the engine reports, as metrics, and as what clients have provably received."""

    def __init__(self, metrics: Metrics, sessions: Sessions | NoSessions) -> None:
        self._metrics = metrics
        self._sessions = sessions

    def refused(self, code: str) -> None:
        self._metrics.connects.add(code)

    def aborted_slow(self) -> None:
        self._metrics.slow_consumers.inc()

    def pinged(self, sid: str) -> None:
        self._sessions.pinged(sid)

    def ponged(self, sid: str) -> None:
        self._sessions.ponged(sid)

    def close_acknowledged(self, sid: str) -> None:
        self._sessions.close_acknowledged(sid)
