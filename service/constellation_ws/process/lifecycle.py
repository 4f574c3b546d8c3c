"""Every lifetime of the process begins and ends here: what is held, what runs, how it stops.

One exit stack for what is held, one TaskGroup for what runs, one list of steps for stopping.
`create_task` appears nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from constellation_ws import __version__
from constellation_ws.observability import telemetry
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.probes import ProcessPhase
from constellation_ws.observability.tracing import Tracing
from constellation_ws.process.closing import (
    close_aged,
    close_evenly,
    close_expired,
    close_tunnels,
    report_gap,
)
from constellation_ws.process.ports import open_http_ports, open_peer_port, port_numbers
from constellation_ws.process.servers import HttpServer
from constellation_ws.process.shutdown import TCP_GRACE_SECONDS, cancel, stop_parts
from constellation_ws.runtime import loop_lag
from constellation_ws.runtime.last_resort import LastResort
from constellation_ws.runtime.open_files import warn_of_shortage
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring import gauges
from constellation_ws.wiring.gateway import Gateway
from constellation_ws.wiring.identification import warn_of_trust
from constellation_ws.wiring.resuming import Parts

logger = structlog.get_logger(__name__)

DEADLINE_MARGIN_SECONDS = 10.0
"""Time for all of stopping, beyond the drain's delay and window; then the process ends by force.
The chart adds it to the grace period."""
_LAST_CLOSES_SECONDS = 7.0
"""Part of that margin, in which the last clients acknowledge their close: five seconds, a step of
the timer wheel, and a second to spare."""
_END_SECONDS = 1.0
"""Kept for cancelling tasks that wait for a Redis that hangs, and for closing its connections."""
_IMMEDIATE_STOP_SECONDS = 1.0
"""What all of stopping may take after a second signal."""
_FAILURE_STOP_SECONDS = 5.0
_DRAINED, _OVERRAN = 0, 1
"""Exit codes. After a second signal it is 128 and the signal's number, as a shell has it."""


class PartEnded(RuntimeError):
    """A part that should outlive the process has returned."""


class Life:
    """One process, from its open ports to its exit."""

    def __init__(
        self,
        settings: Settings,
        last_resort: LastResort,
        tracing: Tracing | NoTracing = NO_TRACING,
    ) -> None:
        """Raises InvalidInterface."""
        self._settings = settings
        self._group = asyncio.TaskGroup()
        self._gateway = Gateway(settings, self._group.create_task, tracing)
        gauges.register(self._gateway)
        self._last_resort = last_resort
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._stop_by = math.inf
        """Monotonic time by which all of stopping should be done."""
        self._exit_code = _DRAINED

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT or SIGHUP, drain, and give the exit code.

        A second signal ends it at once. Raises PortUnavailable, or an ExceptionGroup when a vital
        part has died.
        """
        warn_of_trust(self._settings)
        async with contextlib.AsyncExitStack() as held:
            gateway, tcp = self._gateway, self._gateway.services.tcp
            held.push_async_callback(gateway.events.redis.aclose)
            held.push_async_callback(gateway.clients.access.aclose)
            held.push_async_callback(gateway.clients.backends.aclose)
            servers = open_http_ports(held, gateway)
            held.push_async_callback(tcp.aclose, TCP_GRACE_SECONDS)
            await tcp.start(self._settings.listening.tcp_host, self._settings.listening.tcp_port)
            await open_peer_port(held, gateway)
            held.enter_context(self._signals())
            await self._run_parts(servers)
        return self._exit_code

    def stop(self, number: signal.Signals) -> None:
        """Begin the drain; called again, end at once; further calls change nothing."""
        if self._stop_now.is_set():
            return
        if not self._stop.is_set():
            self._stop.set()
            seconds = self._planned_drain_seconds() + DEADLINE_MARGIN_SECONDS
            code, reason = _OVERRAN, "shutdown deadline exceeded"
        else:
            self._stop_now.set()
            seconds, code, reason = _IMMEDIATE_STOP_SECONDS, 128 + number, "a second signal"
            self._exit_code = code
        self._stop_by = time.monotonic() + seconds - min(_END_SECONDS, seconds * 2 / 5)
        self._last_resort.end_in(seconds, code, reason)

    def _hang_up(self) -> None:
        """Begin the drain, since the terminal has gone: the kernel and the shell may both say so.

        So SIGHUP is never a second signal. It has no other meaning here: nothing is reloaded by it.
        """
        if not self._stop.is_set():
            self.stop(signal.SIGHUP)

    async def _run_parts(self, servers: dict[str, HttpServer]) -> None:
        async with self._group as group:
            for name, work in self._parts().items():
                group.create_task(self._forever(name, work), name=name)
            serving = [
                group.create_task(self._serve(name, server), name=name)
                for name, server in servers.items()
            ]
            await self._announce(servers)
            await self._stop.wait()
            stopped_at_once = group.create_task(self._stop_now.wait())
            draining = group.create_task(self._drain())
            await asyncio.wait(
                {draining, stopped_at_once},
                timeout=self._planned_drain_seconds() + _LAST_CLOSES_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._log_how_it_ended(draining)
            for server in servers.values():
                server.stop(at_once=self._stop_now.is_set())
            await self._until_done(
                {group.create_task(stop_parts(self._gateway)), *serving}, stopped_at_once
            )
            # Not only the parts: a client's request may wait for a Redis that hangs.
            await cancel(asyncio.all_tasks() - {asyncio.current_task()})

    async def _until_done(
        self, tasks: set[asyncio.Task[None]], stopped_at_once: asyncio.Task[bool]
    ) -> None:
        """Wait for tasks until the deadline of stopping, which a second signal moves forward."""
        while left := {task for task in tasks if not task.done()}:
            seconds = self._stop_by - time.monotonic()
            if seconds <= 0:
                return
            waiting = left if stopped_at_once.done() else {*left, stopped_at_once}
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _parts(self) -> Parts:
        """Give everything that lives as long as the process."""
        gateway, expect = self._gateway, self._gateway.health.expect
        parts = {
            "loop lag": loop_lag.measure(self._note_lag),
            **gateway.parts(self._begin_gap_report),
        }
        if gateway.clients.identification.authentication.has_tokens:
            parts["expiry"] = close_expired(gateway, expect("expiry"))
        if self._settings.draining.max_connection_age_seconds:
            parts["rebalancing"] = close_aged(gateway, expect("rebalancing"))
        return parts

    def _note_lag(self, seconds: float) -> None:
        """Record that the event loop has turned, and how late it was."""
        self._gateway.metrics.event_loop_lag.add(seconds)
        self._gateway.health.pulse()
        self._gateway.clients.pressure.note_lag(seconds)

    def _begin_gap_report(self) -> None:
        self._group.create_task(report_gap(self._gateway))

    async def _serve(self, name: str, server: HttpServer) -> None:
        await server.run_on_sockets()
        if not self._stop.is_set():
            raise PartEnded(name)

    async def _announce(self, servers: dict[str, HttpServer]) -> None:
        for server in servers.values():
            await server.listening()
        warn_of_shortage(self._gateway.clients.files, self._settings.limits.max_connections)
        self._gateway.health.enter(ProcessPhase.SERVING)
        logger.info(
            "listening",
            **port_numbers(self._gateway, servers),
            redis=self._settings.redis.label(),
            delivery=self._settings.delivery.mode,
            version=__version__,
        )

    async def _drain(self) -> None:
        """Become unready, wait until the endpoints are updated, and close all sockets evenly."""
        engine, started = self._gateway.clients.engine, time.monotonic()
        self._gateway.begin_drain(time.time() + self._planned_drain_seconds())
        logger.info("draining", sockets=len(engine.sockets))
        await asyncio.sleep(self._settings.draining.drain_delay_seconds)
        self._gateway.peering.peers.begin_drain()
        closed, _ = await asyncio.gather(
            close_evenly(self._gateway, "drain"), close_tunnels(self._gateway)
        )
        await asyncio.gather(
            engine.wait_for_pending_closes(), self._gateway.peering.peers.drained()
        )
        logger.info("drained", sockets=closed, seconds=round(time.monotonic() - started, 1))

    def _planned_drain_seconds(self) -> float:
        draining = self._settings.draining
        return draining.drain_delay_seconds + draining.drain_window_seconds

    def _log_how_it_ended(self, draining: asyncio.Task[None]) -> None:
        left = len(self._gateway.clients.engine.sockets)
        if self._stop_now.is_set():
            logger.warning("stopped immediately by a second signal", sockets_left=left)
        elif not draining.done():
            self._exit_code = _OVERRAN
            logger.warning("drain deadline exceeded", sockets_left=left)

    async def _forever(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a part that must outlive all that uses it. Raises what ended it."""
        health = self._gateway.health
        health.begin(name)
        try:
            await work
        except Exception as error:
            logger.critical("this process ends: a part has failed", part=name, error=str(error))
            # The TaskGroup cancels the others once and waits; see `cancel` for why that may not do.
            reason = f"{name} failed and other tasks did not stop: {type(error).__name__}: {error}"
            self._last_resort.end_in(_FAILURE_STOP_SECONDS, 1, reason)
            raise
        finally:
            health.end(name)
        raise PartEnded(name)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: functools.partial(self.stop, signal.SIGTERM),
            signal.SIGINT: functools.partial(self.stop, signal.SIGINT),
            signal.SIGUSR1: functools.partial(_set_log_level, "debug"),
            signal.SIGUSR2: functools.partial(_set_log_level, self._settings.watching.log_level),
        }
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # by nohup
            actions[signal.SIGHUP] = self._hang_up
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
    logger.warning("log level set", to=level)  # a warning, so that it is seen at nearly any level
