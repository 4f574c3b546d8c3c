"""All parts of one process, made from the settings and wired; nothing runs here.

Doors do not know each other: what one tells another goes through a callback that is set here.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time

import structlog
import uvicorn

from service import bounds, commands, routes
from service.addresses import Proxies
from service.chats import Chats
from service.engine import (
    Engine,
    HttpProtocol,
    Lobby,
    LongPolling,
    Server,
    Session,
)
from service.engine.entrance import SECURITY_HEADERS
from service.events import NAMESPACE
from service.fanout import Fanout
from service.history import History, Logged, ReplayLimits
from service.http import AsgiApp, Check, Health, Phase, create_app, dispatch
from service.metrics import Metrics
from service.nest_tcp import NestTcp
from service.presence import Presence
from service.recorder import TICK_CHANNEL, Recorder
from service.redis_bus import RedisBus
from service.redis_link import make_client
from service.redis_log import RedisLog
from service.relay import Errand, Relay
from service.resume import Offsets, Recovery
from service.rooms import Member
from service.rpc import Rpc
from service.session_store import SessionStore
from service.settings import Settings
from service.telemetry import trace_pages
from service.trace_context import KEYS as TRACE_KEYS
from service.tracing import Tracing

log = structlog.get_logger(__name__)

SOCKET_IO_PATH = "/socket.io"
_TRACE_HEADERS = frozenset(key.encode() for key in TRACE_KEYS)
_MAX_ERRANDS = 100_000
_HISTORY_BYTES = 64 * 1024 * 1024
"""A minute of a thousand events a second; older ones are read from Redis when somebody asks."""
_TRIM_MARGIN_SECONDS = 10.0
"""Kept beyond the window, so that who comes back at its end still finds the beginning."""


class Gateway:
    """The parts; `lifecycle` gives them their lives."""

    def __init__(self, settings: Settings, tracing: Tracing | None = None) -> None:
        self.settings = settings
        self.tracing = tracing
        self.metrics = Metrics()
        self.health = Health()
        self.redis = make_client(settings.redis_address(), retries=5)
        # For events: whoever sends one decides whether to send it again.
        self.redis_once = make_client(settings.redis_address(), retries=0)
        table = routes.load(settings.routes_file, is_traced=tracing is not None)
        ticks = [TICK_CHANNEL] if settings.delivery == "durable" else []
        bus_redis = self.redis if settings.delivery == "durable" else self.redis_once
        self.bus = RedisBus(bus_redis, [*table, *ticks], self.metrics)
        self.engine = Engine(
            bounds.engine_limits(settings),
            pod_tag=self.bus.instance,
            cors_origins=settings.cors_origins,
            kept_headers=_TRACE_HEADERS if tracing is not None else frozenset(),
            proxies=Proxies(settings.trusted_proxies),
        )
        self.server = Server(self.engine)
        self.rooms = self.server.membership.rooms_of(NAMESPACE)
        self.presence = Presence(self.redis, self.bus.instance)
        self.chats = Chats(
            self.server, self.rooms, bounds.client_limits(settings), self.metrics, tracing
        )
        self.errands: asyncio.Queue[Errand] = asyncio.Queue(_MAX_ERRANDS)
        self.relay = Relay(
            table,
            self.rooms,
            Fanout(),
            self.metrics,
            disconnect=self._disconnect,
            send_errand=self.errands.put_nowait,
            on_moved=lambda member: self.recovery.touch(member) if self.recovery else None,
            on_fence=lambda sid, owner: self.recovery.fence(sid, owner) if self.recovery else None,
            on_handover=lambda: self.recorder.nudge() if self.recorder else None,
            tracing=tracing,
        )
        self.log: RedisLog | None = None
        self.recorder: Recorder | None = None
        self.store: SessionStore | None = None
        self.recovery: Recovery | None = None
        if settings.delivery == "durable":
            self.log = self._keep_log()
            if settings.recovery != "off":
                self.recovery = self._recover_from(self.log, Offsets(settings.recovery))
        send = self.log.append if self.log is not None else self.bus.publish
        rpc = Rpc(self.bus, self.presence, table, socket.gethostname(), send, tracing)
        self.tcp = NestTcp(
            rpc.handlers(),
            _TcpReport(self.metrics),
            bounds.tcp_limits(settings),
            bounds.tcp_tls(settings),
        )
        self._wire()

    def http_config(self) -> uvicorn.Config:
        """Configure uvicorn: HTTP and the upgrades are the engine's, the rest are pages."""
        pages: AsgiApp = create_app(self.health, self.metrics.registry)
        if self.tracing is not None:
            pages = trace_pages(pages, self.tracing)
        upgrades = {SOCKET_IO_PATH: self.engine.upgrade}
        lobby = Lobby(self.settings.max_half_open_connections, self.engine.refuse)
        return uvicorn.Config(
            dispatch(pages, LongPolling(self.engine), SOCKET_IO_PATH),
            # Called like the class that uvicorn asks for.
            http=functools.partial(HttpProtocol, upgrades=upgrades, lobby=lobby),  # type: ignore[arg-type]
            ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=4096,
            timeout_graceful_shutdown=2,
            server_header=False,
            headers=[(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
            proxy_headers=False,  # it would believe whoever comes from this machine
        )

    def close_session(self, session: Session, reason: str) -> None:
        """Close a connection after all that was sent to it; its client comes back and goes on."""
        member = self.rooms.by_eio_sid(session.sid)
        if self.recovery is not None and member is not None:
            self.recovery.release(member)
        self.server.end(session, reason)

    def _close_member(self, member: Member, reason: str) -> None:
        session = self.engine.sockets.get(member.eio_sid)
        if session is not None:
            self.server.end(session, reason)

    def _keep_log(self) -> RedisLog:
        redis_log = RedisLog(self.redis, self.redis_once, self.metrics)
        self.recorder = Recorder(
            self.bus,
            redis_log,
            self.metrics,
            obey=self.relay.take,
            window_seconds=self.settings.recovery_window_seconds + _TRIM_MARGIN_SECONDS,
            max_entries=self.settings.log_max_entries,
        )
        self.history = History(_HISTORY_BYTES)
        redis_log.on_start = self.history.start
        self.health.readiness.append(self._check_log)
        return redis_log

    def _recover_from(self, redis_log: RedisLog, offsets: Offsets) -> Recovery:
        settings = self.settings
        self.store = SessionStore(self.redis)
        recovery = self.chats.recovery = Recovery(
            self.bus.instance,
            redis_log,
            self.store,
            self.history,
            self.rooms,
            self.metrics,
            read=self.relay.read,
            offsets=offsets,
            limits=ReplayLimits(settings.max_replay_events, settings.max_write_buffer_bytes // 2),
            window_seconds=settings.recovery_window_seconds,
            close=self._close_member,
            tracing=self.tracing,
            fence=lambda sid, owner: self.errands.put_nowait(self._fence(sid, owner)),
        )
        self.engine.on_ping, self.engine.on_pong = recovery.pinged, recovery.ponged
        return recovery

    def deliver(self, batch: list[Logged]) -> None:
        """Carry out one read from the log, and remember it for who comes back."""
        self.history.append(batch)
        self.relay.take_logged(batch)

    async def _fence(self, sid: str, owner: str) -> None:
        await self.bus.tell(commands.Fence(sid, owner))

    async def _disconnect(self, command: commands.Disconnect) -> None:
        count = await self.chats.disconnect(command.who)
        if count:
            log.info("disconnected on request", sockets=count, reason=command.reason)
        if command.reply_to:
            await self.bus.answer(command, count)

    # Wiring

    def _wire(self) -> None:
        self.engine.on_refused = lambda code: self.metrics.connects.labels(code).inc()
        self.engine.on_dropped = self.metrics.slow_consumers.inc
        self.chats.on_arrival = self.presence.arrive
        self.chats.on_departure = self.presence.depart
        self.health.readiness += [self._check_redis, self._check_room]
        watch = self.metrics.watch
        watch(
            "constellation_sockets", "Clients connected to /chats.", lambda: float(len(self.rooms))
        )
        watch(
            "constellation_rooms",
            "Rooms with a member here.",
            lambda: float(self.rooms.room_count),
        )
        watch(
            "constellation_users",
            "Users of this pod that count as online.",
            lambda: float(self.presence.user_count),
        )
        watch(
            "constellation_redis_up",
            "1 while the Redis subscription stands.",
            lambda: float(self.bus.lost_at is None),
        )
        watch(
            "constellation_recorder",
            "1 while this pod is the one that appends Pub/Sub events to the log.",
            lambda: float(self.recorder is not None and self.recorder.holds_lease),
        )
        watch(
            "constellation_draining",
            "1 from SIGTERM on.",
            lambda: float(self.health.phase is Phase.DRAINING),
        )
        self.metrics.watch_by(
            "constellation_connections",
            "Engine.IO connections by transport.",
            "transport",
            self._count_transports,
        )

    def _count_transports(self) -> dict[str, float]:
        sockets = self.engine.sockets.values()
        websockets = sum(1 for one in sockets if one.upgraded)
        return {"websocket": float(websockets), "polling": float(len(sockets) - websockets)}

    def _check_redis(self) -> Check:
        return self._check_source("redis", self.bus.has_subscribed, self.bus.lost_at)

    def _check_log(self) -> Check:
        assert self.log is not None, "asked only where there is a log"
        return self._check_source("log", self.log.has_followed, self.log.lost_at)

    def _check_source(self, name: str, has_stood: bool, lost_at: float | None) -> Check:
        if not has_stood:
            return Check(name, False, "not connected yet")
        if lost_at is None:
            return Check(name, True, "connected")
        away = time.monotonic() - lost_at
        within_grace = away < self.settings.redis_grace_seconds
        return Check(name, within_grace, f"lost {away:.0f} s ago")

    def _check_room(self) -> Check:
        detail = f"{len(self.engine.sockets)} of {self.settings.max_connections}"
        return Check("connections", not self.engine.is_full(), detail)


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
