"""All parts of one process, made from the settings and wired; nothing runs here.

Doors do not know each other: what one tells another goes through a callback that is set here.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Callable, Collection
from typing import Any

import structlog
import uvicorn

from constellation_ws.chats.namespace import Chats
from constellation_ws.chats.presence import Presence
from constellation_ws.delivery import routes
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Member
from constellation_ws.engine.polling import LongPolling
from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import Session
from constellation_ws.engine.upgrading import Upgrades
from constellation_ws.http.addresses import Proxies
from constellation_ws.http.entrance import SECURITY_HEADERS, TOO_MANY_IDLE
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.log.direct import DirectEntries
from constellation_ws.log.history import History, Logged, NoHistory, parse_id
from constellation_ws.log.positions import LogId
from constellation_ws.log.stream import RedisLog
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.messages import commands
from constellation_ws.messages.events import NAMESPACE
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS
from constellation_ws.nest.rpc import Rpc
from constellation_ws.nest.sending import Sending
from constellation_ws.nest.server import NestTcp
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import (
    AsgiApp,
    Check,
    Health,
    create_app,
    create_metrics_app,
    dispatch,
)
from constellation_ws.observability.telemetry import trace_pages
from constellation_ws.observability.tracing import Tracing
from constellation_ws.process import bounds, gauges
from constellation_ws.process.chat_access import make_access
from constellation_ws.process.errands import Errands
from constellation_ws.process.identification import identification
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recovery.missed import Backlog
from constellation_ws.recovery.resume import Offsets, Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.runtime import open_files
from constellation_ws.runtime.overload import Overload
from constellation_ws.runtime.pressure import Pressure, find_memory_limit
from constellation_ws.settings.settings import Settings
from constellation_ws.socketio.server import Server

log = structlog.get_logger(__name__)

SOCKET_IO_PATH = "/socket.io"
_TRACE_HEADERS = frozenset(key.encode() for key in TRACE_KEYS)
_ANSWER_SECONDS = 2.0
"""How long another pod waits for the answer to its `disconnectUser`."""
_HISTORY_BYTES = 64 * 1024 * 1024
"""Objects included: two minutes of a thousand events a second, of 300 bytes each. Older ones are
read from Redis when somebody asks."""
_UNRECORDED_BYTES = 64 * 1024 * 1024
"""What Redis refuses to record is retained up to this: a minute of a thousand events a second."""
_TRIM_MARGIN_SECONDS = 10.0
"""Kept beyond the window, so that who comes back at its end still finds the beginning."""
_QUIET_HTTP: dict[str, Any] = {
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "timeout_graceful_shutdown": 2,
    "server_header": False,
    "headers": [(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
    "proxy_headers": False,  # they would be believed of whoever comes from this machine
}
"""What both HTTP ports have in common."""


class Gateway:
    """The parts; `lifecycle` gives them their lives."""

    def __init__(self, settings: Settings, tracing: Tracing | None = None) -> None:
        self.settings = settings
        self.tracing = tracing
        self.metrics = Metrics()
        self.health = Health()
        self.drain_deadline = 0.0
        """Unix time by which the drain should have ended; 0 before it has begun."""
        self.names = settings.redis_names()
        # By purpose, so that a storm in one starves no other: lease, heartbeat and subscription;
        # sessions; what clients and services ask.
        self.redis_endpoint = Endpoint(settings.redis_address(), self.names)
        self.redis = self.redis_endpoint.client(retries=5)
        self.redis_sessions = self.redis_endpoint.client(retries=5)
        self.redis_requests = self.redis_endpoint.client(retries=5)
        # For events: whoever sends one decides whether to send it again.
        self.redis_once = self.redis_endpoint.client(retries=0)
        table = routes.load(
            settings.routes_file,
            is_traced=tracing is not None,
            own_prefix=settings.redis_prefix,
        )
        bus_redis = self.redis if settings.delivery == "durable" else self.redis_once
        self.bus = RedisBus(bus_redis, table, self.metrics, self.names)
        trace_headers = _TRACE_HEADERS if tracing is not None else frozenset()
        self.identification = identification(settings, also_kept=trace_headers)
        self.http_connections: set[object] = set()
        """Open connections of the HTTP port that are no WebSocket; uvicorn keeps them there."""
        self.overload = Overload()
        self.pressure = Pressure(self.overload, self.metrics, find_memory_limit())
        self.files = open_files.share(open_files.limit(), settings.tcp_max_connections)
        self.engine = Engine(
            bounds.engine_limits(settings, self.files),
            pod_tag=self.bus.instance,
            cors_origins=settings.cors_origins,
            kept_headers=self.identification.kept_headers,
            proxies=Proxies(settings.trusted_proxies),
            http_connections=self.http_connections,
            is_overloaded=self.overload.is_on,
        )
        self.server = Server(self.engine)
        self.rooms = self.server.membership.rooms_of(NAMESPACE)
        self.presence = Presence(self.redis_requests, self.bus.instance, self.names)
        self.chats = Chats(
            self.server,
            self.rooms,
            bounds.client_limits(settings),
            self.metrics,
            identify=self.identification.identify,
            verify_token=self.identification.verify,
            tracing=tracing,
        )
        spawn = lambda work: self.engine.spawn(work)  # noqa: E731, PLW0108 - lifecycle sets it later
        self.access = self.chats.access = make_access(settings, self.metrics, spawn)
        self.errands = Errands(self.metrics)
        self.fanout = Fanout()
        self.relay = Relay(
            table,
            self.rooms,
            self.fanout,
            self.metrics,
            max_event_bytes=settings.max_event_bytes,
            on_disconnect=self._disconnect_soon,
            on_moved=self._note_moved,
            on_ended=self.access.forget if self.access else lambda room, who: None,
            on_fence=lambda sid, owner: self.recovery.fence(sid, owner) if self.recovery else None,
            on_handover=lambda: self.recorder.nudge() if self.recorder else None,
            tracing=tracing,
        )
        self.log: RedisLog | None = None
        self.history: History | NoHistory = NoHistory()
        self.recorder: Recorder | None = None
        self.store: SessionStore | None = None
        self.sessions: Sessions | None = None
        self.backlog: Backlog | None = None
        self.recovery: Recovery | None = None
        self.direct: DirectEntries | None = None
        if settings.delivery == "live":
            self.direct = DirectEntries(
                self.redis, self.names, settings.recovery_window_seconds + _TRIM_MARGIN_SECONDS
            )
        else:
            self.log = self._keep_log()
            if settings.recovery != "off":
                self.recovery = self._recover_from(self.log, Offsets(settings.recovery))
        send_all = self.log.append_all if self.log is not None else self.bus.publish_all
        rpc = Rpc(
            self.bus,
            self.presence,
            table,
            socket.gethostname(),
            Sending(send_all, spawn),
            tracing,
            self.names,
            max_event_bytes=settings.max_event_bytes,
        )
        self.tcp = NestTcp(
            rpc.patterns(),
            _TcpReport(self.metrics),
            bounds.tcp_limits(settings, self.files),
            spawn,
            bounds.tcp_tls(settings),
        )
        self._wire()

    async def aclose(self) -> None:
        """Let the connections to Redis go."""
        for redis in (self.redis, self.redis_sessions, self.redis_requests, self.redis_once):
            await redis.aclose()

    def http_config(self) -> uvicorn.Config:
        """Configure uvicorn: HTTP and the upgrades are the engine's, the rest are pages."""
        has_metrics = self.settings.metrics_port is None
        pages: AsgiApp = create_app(self.health, self.metrics.registry if has_metrics else None)
        if self.tracing is not None:
            pages = trace_pages(pages, self.tracing)
        upgrades = {SOCKET_IO_PATH: Upgrades(self.engine).take}
        most, engine = self.settings.max_half_open_connections, self.engine
        lobby = Lobby(most, engine.refuse, engine.is_crowded, engine.is_out_of_sockets)
        idle = Lobby(most, engine.refuse, turned_away=TOO_MANY_IDLE)
        return uvicorn.Config(
            dispatch(pages, LongPolling(self.engine), SOCKET_IO_PATH),
            # Called like the class that uvicorn asks for.
            http=functools.partial(HttpProtocol, upgrades=upgrades, lobby=lobby, idle=idle),  # type: ignore[arg-type]
            ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade
            backlog=4096,
            timeout_keep_alive=self.settings.keep_alive_seconds,
            **_QUIET_HTTP,
        )

    def metrics_config(self) -> uvicorn.Config:
        """Configure uvicorn for the port that has metrics alone."""
        return uvicorn.Config(
            create_metrics_app(self.metrics.registry),
            ws="none",
            timeout_keep_alive=self.settings.keep_alive_seconds,
            **_QUIET_HTTP,
        )

    def close_session(self, session: Session, reason: str) -> None:
        """Close a connection after all that was sent to it; its client comes back and goes on."""
        member = self.rooms.by_eio_sid(session.sid)
        if self.sessions is not None and member is not None and not session.closed:
            self.sessions.closing(member)
        self.server.end(session, reason)

    def _note_moved(self, members: Collection[Member], room: str, offset: bytes) -> None:
        """Note that an event or a command has moved members, perhaps thousands."""
        if self.sessions is not None and self.log is not None:
            self.sessions.touch(members, room, parse_id(offset) or self.log.delivered)

    def _close_member(self, member: Member, reason: str) -> None:
        session = self.engine.sockets.get(member.eio_sid)
        if session is not None:
            self.server.end(session, reason)

    def _keep_log(self) -> RedisLog:
        unrecorded = Unrecorded(self.bus.instance.encode(), _UNRECORDED_BYTES)
        redis_log = RedisLog(
            self.redis, self.redis_requests, self.redis_once, self.names, unrecorded, self.metrics
        )
        self.recorder = Recorder(
            self.bus,
            redis_log,
            unrecorded,
            self.names,
            self.metrics,
            obey=self.relay.take,
            window_seconds=self.settings.recovery_window_seconds + _TRIM_MARGIN_SECONDS,
            max_entries=self.settings.log_max_entries,
        )
        self.health.readiness += [self._check_log, self._check_recording]
        return redis_log

    def _recover_from(self, redis_log: RedisLog, offsets: Offsets) -> Recovery:
        settings = self.settings
        self.store = SessionStore(self.redis_sessions, self.names)
        self.sessions = self.chats.sessions = Sessions(
            redis_log, self.store, self.rooms, window_seconds=settings.recovery_window_seconds
        )
        self.history = history = History(_HISTORY_BYTES)
        self.backlog = Backlog(
            redis_log,
            history,
            self.relay.read,
            bounds.replay_limits(settings),
            settings.recovery_window_seconds,
        )
        recovery = self.chats.recovery = Recovery(
            self.bus.instance,
            redis_log,
            self.store,
            self.sessions,
            self.backlog,
            self.rooms,
            self.metrics,
            offsets=offsets,
            close=self._close_member,
            tracing=self.tracing,
            find_lost=self.access.find_lost if self.access else None,
            fence=self._fence_soon,
        )
        self.engine.on_ping, self.engine.on_pong = self.sessions.pinged, self.sessions.ponged
        self.engine.on_close_answered = self.sessions.close_answered
        return recovery

    @property
    def live_listener(self) -> _LiveListener:
        """Consumes what is published where there is no log."""
        return _LiveListener(self.relay, self.metrics)

    def delivered(self) -> LogId:
        """Give the last entry of the log that was delivered here."""
        assert self.log is not None, "asked only where there is a log"
        return self.log.delivered

    def deliver(self, batch: list[Logged]) -> None:
        """Carry out one read from the log, and remember it for who comes back."""
        assert self.log is not None, "it has read the batch"
        self.history.append(batch)
        self.relay.take_logged(batch, self.log.lag_seconds)

    def _fence_soon(self, sid: str, owner: str) -> None:
        fence = commands.Fence(sid, owner)
        self.errands.put(fence, functools.partial(self.bus.tell, fence))

    def _disconnect_soon(self, command: commands.Disconnect) -> None:
        if command.reply_to:
            key = (command.who, command.reply_to, command.ask)
        elif self.rooms.members(command.who):
            key = (command.who, "", 0)  # disconnecting twice is disconnecting once
        else:
            return
        self.errands.put(key, functools.partial(self._disconnect, command), seconds=None)

    async def _disconnect(self, command: commands.Disconnect) -> None:
        count = await self.chats.disconnect(command.who)
        if count:
            log.info("disconnected on request", sockets=count, reason=command.reason)
        if command.reply_to:
            key = (command.reply_to, command.ask)
            answer = functools.partial(self.bus.answer, command, count)
            self.errands.put(key, answer, _ANSWER_SECONDS)

    # Wiring

    def _wire(self) -> None:
        self.engine.on_refused = self.metrics.connects.add
        self.engine.on_dropped = self.metrics.slow_consumers.inc
        self.chats.on_arrival = self.presence.arrive
        self.chats.on_departure = self.presence.depart
        self.health.readiness += [self._check_redis, self._check_room, self._check_load]
        if self.identification.endpoint is not None:
            self.health.readiness.append(self.identification.check)
        gauges.watch(self)

    def _check_redis(self) -> Check:
        return self._check_source("redis", self.bus.has_subscribed, self.bus.lost_at)

    def _check_log(self) -> Check:
        assert self.log is not None, "asked only where there is a log"
        return self._check_source("log", self.log.has_followed, self.log.lost_at)

    def _check_recording(self) -> Check:
        """Judge whether events that are published can be recorded, by this pod or another one."""
        assert self.recorder is not None, "asked only where there is a log"
        trouble = self.recorder.trouble
        if trouble.since is None:
            return Check("recording", True, "possible")
        away = time.monotonic() - trouble.since
        within_grace = away < self.settings.redis_grace_seconds
        return Check("recording", within_grace, f"not possible for {away:.0f} s: {trouble.reason}")

    def _check_source(self, name: str, has_stood: bool, lost_at: float | None) -> Check:
        if not has_stood:
            return Check(name, False, "not connected yet")
        if lost_at is None:
            return Check(name, True, "connected")
        away = time.monotonic() - lost_at
        within_grace = away < self.settings.redis_grace_seconds
        return Check(name, within_grace, f"lost {away:.0f} s ago")

    def _check_room(self) -> Check:
        engine, most = self.engine, self.files.sessions
        detail = f"{len(engine.sockets)} of {self.settings.max_connections}"
        if engine.is_crowded():
            detail += f"; open files are short: {engine.open_sockets} of {most} sockets"
        return Check("connections", not engine.is_full(), detail)

    def _check_load(self) -> Check:
        reason = self.overload.reason
        return Check("load", reason is None, reason or "no overload")


class _LiveListener:
    """Hands what is published straight to the sockets."""

    def __init__(self, relay: Relay, metrics: Metrics) -> None:
        self.take: Callable[[list[Published]], None] = relay.take
        self._metrics = metrics

    def interrupted(self, *, is_lossy: bool) -> None:
        """Count what may be lost: without a log nobody can resume, and nobody is told."""
        if is_lossy:
            log.warning("published events may be lost: the subscription was interrupted")
            self._metrics.lost_events.labels("interrupted").inc()


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
