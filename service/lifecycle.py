"""Every lifetime of the process begins and ends here: what is held, what runs, how it stops.

One exit stack for what is held, one TaskGroup for what runs, one list of steps for stopping.
`create_task` appears nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from service import __version__, loop_lag, telemetry
from service.closing import close_aged, close_evenly, close_expired, tell_of_gap
from service.gateway import Gateway
from service.http import Phase
from service.identification import warn_of_trust
from service.serving import HttpServer, listen

log = structlog.get_logger(__name__)

DEADLINE_MARGIN_SECONDS = 10.0
"""What a drain may take beyond its delay and window before the process ends all the same."""
_FLUSH_SECONDS = 2.0
_CANCEL_SECONDS = 0.2
_DEATH_SECONDS = 5.0
_TCP_GRACE_SECONDS = 2.0


class PartEnded(RuntimeError):
    """A part that should outlive the process has returned."""


class Life:
    """One process, from listening to its exit."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, drain, and return; a second signal ends it at once.

        Raises PortUnavailable, or an ExceptionGroup when a vital part has died.
        """
        warn_of_trust(self._settings)
        async with contextlib.AsyncExitStack() as held:
            held.push_async_callback(self._gateway.aclose)
            if self._gateway.access:
                held.push_async_callback(self._gateway.access.aclose)
            servers = self._hold_ports(held)
            held.push_async_callback(self._gateway.tcp.aclose, _TCP_GRACE_SECONDS)
            await self._gateway.tcp.start(self._settings.tcp_host, self._settings.tcp_port)
            held.enter_context(self._signals())
            await self._run_parts(servers)

    def stop(self) -> None:
        """Begin the drain; called again, end at once."""
        (self._stop_now if self._stop.is_set() else self._stop).set()

    def _hold_ports(self, held: contextlib.AsyncExitStack) -> dict[str, HttpServer]:
        """Take the HTTP ports, before anything runs that somebody could miss."""
        host, metrics_port = self._settings.ws_host, self._settings.metrics_port
        listener = held.enter_context(listen(host, self._settings.ws_port, "WS_PORT"))
        servers = {"http": HttpServer(self._gateway.http_config(), listener)}
        if metrics_port is not None:
            variable = "CONSTELLATION_METRICS_PORT"
            listener = held.enter_context(listen(host, metrics_port, variable))
            servers["metrics"] = HttpServer(self._gateway.metrics_config(), listener)
        return servers

    async def _run_parts(self, servers: dict[str, HttpServer]) -> None:
        async with asyncio.TaskGroup() as group:
            self._gateway.engine.spawn = group.create_task
            parts = [
                group.create_task(_forever(name, work), name=name)
                for name, work in self._parts().items()
            ]
            serving = [
                group.create_task(self._serve(name, server), name=name)
                for name, server in servers.items()
            ]
            await self._announce(servers)
            await self._stop.wait()
            ending = group.create_task(self._stop_now.wait())
            draining = group.create_task(self._drain())
            await asyncio.wait(
                {ending, draining},
                timeout=self._drain_deadline_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._tell_how_it_ended(draining)
            for server in servers.values():
                server.should_exit = True
                server.force_exit = self._stop_now.is_set()
            await self._stop_doors()
            await asyncio.wait(serving)
            await _end({*parts, ending, draining})

    def _parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Everything that lives as long as the process."""
        gateway, watch = self._gateway, self._gateway.health.watch
        listener = gateway.recorder or gateway.live_listener
        parts = {
            "subscription": gateway.bus.run(listener),
            "heartbeat": gateway.bus.beat(watch("heartbeat")),
            "presence": gateway.presence.run(watch("presence")),
            "errands": gateway.errands.run(),
            "engine": gateway.engine.run(watch("engine")),
            "loop lag": loop_lag.measure(gateway.metrics.event_loop_lag.add),
        }
        if gateway.direct:
            parts["direct entries"] = gateway.direct.run(gateway.relay.take)
        if gateway.log and gateway.recorder:
            parts["log"] = gateway.log.run(_LogFollower(gateway, self._begin))
            parts["recorder"] = gateway.recorder.run(watch("recorder"))
        if gateway.store and gateway.sessions and gateway.backlog and gateway.recovery:
            parts["store"] = gateway.store.run(
                watch("store"), gateway.delivered, gateway.recovery.fence
            )
            parts["sessions"] = gateway.sessions.run(watch("sessions"))
            parts["backlog"] = gateway.backlog.run(watch("backlog"))
            parts["read-back"] = gateway.backlog.read_back(watch("read-back"))
        if gateway.identification.endpoint:
            parts["keys"] = gateway.identification.endpoint.run(watch("keys"))
        if gateway.identification.verify:
            parts["expiry"] = close_expired(gateway, watch("expiry"))
        if self._settings.max_connection_age_seconds:
            parts["rebalancing"] = close_aged(gateway, watch("rebalancing"))
        return parts

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._gateway.engine.spawn(work)

    async def _stop_doors(self) -> None:
        """The order matters: no new work, then nothing that others wait for stays with us."""
        if self._gateway.access:
            await self._gateway.access.aclose()
        await self._gateway.tcp.aclose(_TCP_GRACE_SECONDS)
        if self._gateway.recorder:
            await self._gateway.recorder.hand_over()
        if self._gateway.sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._gateway.sessions.flush()
        await self._gateway.presence.withdraw()

    async def _serve(self, name: str, server: HttpServer) -> None:
        await server.run_on_socket()
        if not self._stop.is_set():
            raise PartEnded(name)

    async def _announce(self, servers: dict[str, HttpServer]) -> None:
        for server in servers.values():
            await server.listening()
        self._gateway.health.phase = Phase.SERVING
        log.info(
            "listening",
            ws_port=servers["http"].port,
            tcp_port=self._gateway.tcp.port,
            **({"metrics_port": servers["metrics"].port} if "metrics" in servers else {}),
            redis=self._settings.redis_label(),
            delivery=self._settings.delivery,
            version=__version__,
        )

    async def _drain(self) -> None:
        """Empty this pod: tell, wait for the endpoints to notice, close sockets evenly."""
        engine, started = self._gateway.engine, time.monotonic()
        self._gateway.health.phase = Phase.DRAINING
        self._gateway.drain_deadline = time.time() + self._planned_drain_seconds()
        engine.is_closed_to_new = self._gateway.chats.is_draining = True
        log.info("draining", sockets=len(engine.sockets))
        await asyncio.sleep(self._settings.drain_delay_seconds)
        closed = await close_evenly(self._gateway, "drain")
        await engine.goodbyes_said()
        log.info("drained", sockets=closed, seconds=round(time.monotonic() - started, 1))

    def _drain_deadline_seconds(self) -> float:
        return self._planned_drain_seconds() + DEADLINE_MARGIN_SECONDS

    def _planned_drain_seconds(self) -> float:
        return self._settings.drain_delay_seconds + self._settings.drain_window_seconds

    def _tell_how_it_ended(self, draining: asyncio.Task[None]) -> None:
        left = len(self._gateway.engine.sockets)
        if self._stop_now.is_set():
            log.warning("ended at once by a second signal", sockets_left=left)
        elif not draining.done():
            log.warning("the drain overran its deadline", sockets_left=left)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGUSR1: functools.partial(_set_log_level, "debug"),
            signal.SIGUSR2: functools.partial(_set_log_level, self._settings.log_level),
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield
        finally:
            for number in actions:
                loop.remove_signal_handler(number)


def _set_log_level(level: str) -> None:
    """Log more, or as configured again, on an operator's signal: no port is open for that."""
    telemetry.set_level(level)
    log.warning("log level set", to=level)  # a warning, so that it is seen at nearly any level


class _LogFollower:
    """What the log brings, and where it goes."""

    def __init__(
        self, gateway: Gateway, begin: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._gateway = gateway
        self._begin = begin
        self.deliver = gateway.deliver
        self.begin_history = gateway.history.start

    def report_gap(self, reason: str) -> None:
        """Let every client connect again: its session may have missed something."""
        self._begin(tell_of_gap(self._gateway))


async def _forever(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:
        # The TaskGroup cancels the others once and waits; see `_end` for why that may not suffice.
        reason = f"{type(error).__name__}: {error}"
        asyncio.get_running_loop().call_later(_DEATH_SECONDS, _die, name, reason)
        raise
    raise PartEnded(name)


def _die(name: str, reason: str) -> None:
    log.error("a vital part died and others did not end", part=name, error=reason)
    os._exit(1)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they are gone.

    Once is not enough: redis-py waits in `asyncio.wait_for`, which on Python 3.11 may swallow a
    cancellation (github.com/python/cpython/issues/86296).
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
