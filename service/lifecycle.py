"""Every lifetime of the process begins and ends here: what is held, what runs, how it stops.

One exit stack for what is held, one TaskGroup for what runs, one list of steps for stopping.
`create_task` appears nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from redis.asyncio import Redis

from service import __version__, commands, routes
from service.admission import Limits, Rate
from service.chats import Chats
from service.drain import closed_by
from service.engine import Engine, EngineLimits, HttpProtocol, LongPolling, Server
from service.events import NAMESPACE
from service.fanout import Fanout
from service.http import AsgiApp, Check, Health, Phase, create_app, dispatch
from service.metrics import Metrics
from service.nest_tcp import NestTcp, PortUnavailable, TcpLimits
from service.presence import Presence
from service.redis_bus import RedisBus, RedisUnavailable
from service.relay import Errand, Relay
from service.rpc import Rpc
from service.settings import Settings

log = structlog.get_logger(__name__)

DEADLINE_MARGIN_SECONDS = 10.0
"""What a drain may take beyond its delay and window before the process ends all the same."""
SOCKET_IO_PATH = "/socket.io"
_DRAIN_STEP_SECONDS = 0.05
_MAX_ERRANDS = 100_000
_TCP_GRACE_SECONDS = 2.0


class PartEnded(RuntimeError):
    """A part that should outlive the process has returned."""


class _Http(uvicorn.Server):
    """uvicorn as a child: the signals are ours."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the two doors listen."""

    ws: int
    tcp: int


class Gateway:
    """All parts of one process, wired; `run` is its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self.health = Health()
        self._redis = Redis.from_url(
            settings.redis_address(), socket_connect_timeout=2, socket_timeout=5
        )
        table = routes.load(settings.routes_file)
        self._bus = RedisBus(self._redis, table, self.metrics)
        self._engine = Engine(
            _engine_limits(settings),
            pod_tag=self._bus.instance,
            cors_origins=settings.cors_origins,
        )
        self._engine.on_refused = lambda code: self.metrics.connects.labels(code).inc()
        self._engine.on_dropped = self.metrics.slow_consumers.inc
        self._server = Server(self._engine)
        rooms = self._server.membership.rooms_of(NAMESPACE)
        self._presence = Presence(self._redis, self._bus.instance)
        self._chats = Chats(self._server, rooms, _limits(settings), self.metrics)
        self._chats.on_arrival = self._presence.arrive
        self._chats.on_departure = self._presence.depart
        self._errands: asyncio.Queue[Errand] = asyncio.Queue(_MAX_ERRANDS)
        self._relay = Relay(
            table,
            rooms,
            Fanout(),
            self.metrics,
            disconnect=self._disconnect,
            send_errand=self._errands.put_nowait,
        )
        rpc = Rpc(self._bus, self._presence, table, socket.gethostname())
        self._tcp = NestTcp(
            rpc.handlers(),
            _TcpReport(self.metrics),
            TcpLimits(
                settings.tcp_max_frame_bytes,
                settings.tcp_idle_seconds,
                settings.tcp_max_connections,
            ),
        )
        self.health.readiness += [self._check_redis, self._check_room]
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._watch()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, drain, and return; a second signal ends it at once.

        Raises PortUnavailable, or an ExceptionGroup when a vital part has died.
        """
        async with contextlib.AsyncExitStack() as held:
            held.push_async_callback(self._redis.aclose)
            listener = held.enter_context(_listen(self._settings.ws_host, self._settings.ws_port))
            held.push_async_callback(self._tcp.aclose, _TCP_GRACE_SECONDS)
            await self._tcp.start(self._settings.tcp_host, self._settings.tcp_port)
            held.enter_context(self._signals())
            await self._run_parts(listener)

    def stop(self) -> None:
        """Begin the drain; called again, end at once."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _run_parts(self, listener: socket.socket) -> None:
        http = _Http(self._http_config())
        async with asyncio.TaskGroup() as group:
            self._engine.spawn = group.create_task
            parts = [
                group.create_task(_forever(name, work), name=name)
                for name, work in {
                    "subscription": self._bus.run(self._relay.take),
                    "heartbeat": self._bus.beat(self.health.watch("heartbeat")),
                    "presence": self._presence.run(self.health.watch("presence")),
                    "errands": self._run_errands(),
                    "engine": self._engine.run(self.health.watch("engine")),
                }.items()
            ]
            serving = group.create_task(self._serve(http, listener), name="http")
            await self._announce(http, listener)
            await self._stop.wait()
            ending = group.create_task(self._stop_now.wait())
            draining = group.create_task(self._drain())
            await asyncio.wait(
                {ending, draining},
                timeout=self._drain_deadline_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._tell_how_it_ended(draining)
            http.should_exit = True
            http.force_exit = self._stop_now.is_set()
            await self._tcp.aclose(_TCP_GRACE_SECONDS)
            await self._presence.withdraw()
            await serving
            for task in (*parts, ending, draining):
                task.cancel()

    async def _serve(self, http: uvicorn.Server, listener: socket.socket) -> None:
        await http.serve(sockets=[listener])
        if not self._stop.is_set():
            raise PartEnded("http")

    async def _announce(self, http: _Http, listener: socket.socket) -> None:
        await http.listening.wait()
        self.health.phase = Phase.SERVING
        log.info(
            "listening",
            ws_port=listener.getsockname()[1],
            tcp_port=self._tcp.port,
            redis=self._settings.redis_label(),
            version=__version__,
        )

    async def _drain(self) -> None:
        """Empty this pod: tell, wait for the endpoints to notice, close sockets evenly."""
        started = time.monotonic()
        self.health.phase = Phase.DRAINING
        self._engine.is_closed_to_new = self._chats.is_draining = True
        total = len(self._engine.sockets)
        log.info("draining", sockets=total, delay_seconds=self._settings.drain_delay_seconds)
        await asyncio.sleep(self._settings.drain_delay_seconds)
        window_started, closed = time.monotonic(), 0
        sessions = list(self._engine.sockets.values())
        while closed < len(sessions):
            elapsed = time.monotonic() - window_started
            due = closed_by(len(sessions), elapsed, self._settings.drain_window_seconds)
            for session in sessions[closed:due]:
                self._server.end(session, "drain")
            closed = due
            await asyncio.sleep(_DRAIN_STEP_SECONDS)
        await self._engine.goodbyes_said()
        log.info("drained", sockets=closed, seconds=round(time.monotonic() - started, 1))

    def _drain_deadline_seconds(self) -> float:
        planned = self._settings.drain_delay_seconds + self._settings.drain_window_seconds
        return planned + DEADLINE_MARGIN_SECONDS

    def _tell_how_it_ended(self, draining: asyncio.Task[None]) -> None:
        left = len(self._engine.sockets)
        if self._stop_now.is_set():
            log.warning("ended at once by a second signal", sockets_left=left)
        elif not draining.done():
            log.warning("the drain overran its deadline", sockets_left=left)

    async def _run_errands(self) -> None:
        """Do what the relay must not wait for, one after the other."""
        while True:
            errand = await self._errands.get()
            try:
                await errand
            except RedisUnavailable as error:
                log.warning("another pod was not answered", reason=str(error))

    async def _disconnect(self, command: commands.Disconnect) -> None:
        count = await self._chats.disconnect(command.who)
        if count:
            log.info("disconnected on request", sockets=count, reason=command.reason)
        if command.reply_to:
            await self._bus.answer(command, count)

    def _app(self) -> AsgiApp:
        pages = create_app(self.health, self.metrics.registry)
        return dispatch(pages, LongPolling(self._engine), SOCKET_IO_PATH)

    def _http_config(self) -> uvicorn.Config:
        protocol = functools.partial(HttpProtocol, upgrades={SOCKET_IO_PATH: self._engine.upgrade})
        return uvicorn.Config(
            self._app(),
            http=protocol,  # type: ignore[arg-type]  # called like the class that uvicorn asks for
            ws=asyncio.Protocol,  # never made: HttpProtocol takes every upgrade
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=4096,
            timeout_graceful_shutdown=2,
            server_header=False,
        )

    def _check_redis(self) -> Check:
        if not self._bus.has_subscribed:
            return Check("redis", False, "not subscribed yet")
        if self._bus.lost_at is None:
            return Check("redis", True, "subscribed")
        away = time.monotonic() - self._bus.lost_at
        within_grace = away < self._settings.redis_grace_seconds
        return Check("redis", within_grace, f"subscription lost {away:.0f} s ago")

    def _check_room(self) -> Check:
        detail = f"{len(self._engine.sockets)} of {self._settings.max_connections}"
        return Check("connections", not self._engine.is_full(), detail)

    def _watch(self) -> None:
        rooms = self._server.membership.rooms_of(NAMESPACE)
        watch = self.metrics.watch
        watch("constellation_sockets", "Clients connected to /chats.", lambda: float(len(rooms)))
        watch("constellation_rooms", "Rooms with a member here.", lambda: float(rooms.room_count))
        watch(
            "constellation_users",
            "Users of this pod that count as online.",
            lambda: float(self._presence.user_count),
        )
        watch(
            "constellation_redis_up",
            "1 while the Redis subscription stands.",
            lambda: float(self._bus.lost_at is None),
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
        sockets = self._engine.sockets.values()
        websockets = sum(1 for one in sockets if one.upgraded)
        return {"websocket": float(websockets), "polling": float(len(sockets) - websockets)}

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


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


async def _forever(name: str, work: Coroutine[Any, Any, None]) -> None:
    await work
    raise PartEnded(name)


def serve(settings: Settings) -> int:
    """Run one gateway to its end; the exit code: 0, or 1 where it could not live on.

    Raises InvalidRoutes when the route table cannot be used.
    """
    _calm_garbage_collection()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(_run(settings))
        except PortUnavailable as error:
            log.error("cannot listen", reason=str(error))
            return 1
        except ExceptionGroup as group:
            for cause in _leaves(group):
                log.error("a vital part died", error=f"{type(cause).__name__}: {cause}")
            return 1
    return 0


def _calm_garbage_collection() -> None:
    """Collect rarely: nothing here makes cycles per message, but each walk visits every connection.

    At the defaults a connect storm pays for one such walk after another.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _run(settings: Settings) -> None:
    await Gateway(settings).run()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # noqa: PLC0415 - costs 20 ms that `--help` need not pay

    return uvloop.new_event_loop


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the listening socket, so that a taken port is one clear line and not uvicorn's exit."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            sentence = f"Cannot listen on {host}:{port} (CONSTELLATION_WS_HOST, WS_PORT): {reason}."
            raise PortUnavailable(sentence) from error
        yield listener


def _engine_limits(settings: Settings) -> EngineLimits:
    per_second = settings.max_connects_per_second
    return EngineLimits(
        settings.ping_interval_seconds,
        settings.ping_timeout_seconds,
        settings.connect_timeout_seconds,
        settings.max_payload_bytes,
        settings.max_write_buffer_bytes,
        settings.max_connections,
        Rate(per_second, 5 * per_second),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_id_chars,
        settings.max_rooms_per_socket,
        settings.max_request_bytes,
        Rate(settings.max_requests_per_second, settings.max_request_burst),
    )
