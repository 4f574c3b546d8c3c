"""All parts of one process, made from the settings in the order in which they need each other.

Nothing runs here. Parts do not know each other's owners: what one does for another is an argument.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.probes import Health, HealthCheck, ProcessPhase
from constellation_ws.observability.tracing import Tracing
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.background_jobs import BackgroundJobs
from constellation_ws.wiring.clients import Clients
from constellation_ws.wiring.console import Console, NoConsole
from constellation_ws.wiring.consumer import Consumer
from constellation_ws.wiring.disconnecting import Disconnecting
from constellation_ws.wiring.events import Events
from constellation_ws.wiring.listing import Listing
from constellation_ws.wiring.peering import Peering
from constellation_ws.wiring.pod_status import PodReading
from constellation_ws.wiring.readiness import check_load, check_redis, check_room
from constellation_ws.wiring.resuming import Parts
from constellation_ws.wiring.services import Services


class Gateway:
    """The parts; `lifecycle` runs them."""

    def __init__(
        self, settings: Settings, spawn: Spawn, tracing: Tracing | NoTracing = NO_TRACING
    ) -> None:
        """`spawn` runs what parts begin by themselves. Raises InvalidInterface."""
        self.settings = settings
        self.tracing = tracing
        self.metrics = metrics = Metrics()
        self.drain_deadline = 0.0
        """Unix time by which the drain should have ended; 0 before it has begun."""
        self.drained_from = 0
        """Connections that there were when the drain began."""
        self.events = events = Events(settings, metrics, tracing, spawn)
        self._jobs = jobs = BackgroundJobs(metrics)
        self.clients = clients = Clients(settings, events, jobs, metrics, spawn, tracing)
        self.peering = Peering(settings, events, clients, metrics, spawn, tracing)
        self.health = health = Health(self._readiness())
        self.services = Services(settings, events, clients, health, metrics, spawn, tracing)
        self.console = self._make_console(spawn)
        self._consumer = self._make_consumer()

    def _make_console(self, spawn: Spawn) -> Console | NoConsole:
        events, clients, metrics = self.events, self.clients, self.metrics
        if self.settings.console.mode == "off":
            return NoConsole(events.bus.all_pods, self._jobs)
        return Console(
            self.settings,
            events,
            clients,
            self.services.make_actions,
            PodReading(self.settings, events, clients, metrics, self.health, self._drain),
            metrics,
            self.health,
            self._jobs,
            spawn,
        )

    def parts(self, reconnect_clients: Callable[[], None]) -> Parts:
        """Give what has to run; `reconnect_clients` is called for a gap in the log. Never waits."""
        events, clients, expect = self.events, self.clients, self.health.expect
        return {
            "redis topology": events.redis_endpoint.poll(),
            "heartbeat": events.bus.beat(),
            "presence": clients.presence.run(),
            **clients.announcing.parts(),
            "errands": self._jobs.run(),
            "engine": clients.engine.run(expect("engine")),
            "pressure": clients.pressure.run(),
            **events.delivery.parts(self._consumer, clients.recovery, reconnect_clients, expect),
            **self.peering.parts(),
            **clients.identification.parts(),
            **self.console.parts(),
        }

    def begin_drain(self, deadline: float) -> None:
        """Accept nobody new; by this Unix time the drain should have ended."""
        self.drain_deadline = deadline
        self.drained_from = len(self.clients.engine.sockets)
        self.health.enter(ProcessPhase.DRAINING)
        self.clients.admission.close_to_new()
        self.clients.members.begin_drain()

    def _drain(self) -> tuple[float, int]:
        return self.drain_deadline, self.drained_from

    def _make_consumer(self) -> Consumer:
        events, clients, jobs = self.events, self.clients, self._jobs
        note_disconnect = self.peering.arrivals.note_disconnect
        return Consumer(
            events.relay,
            clients.access,
            events.sessions,
            clients.recovery,
            Disconnecting(clients.members, events.bus.all_pods, jobs, note_disconnect).begin,
            Listing(events.rooms, events.bus.all_pods, jobs).begin,
            clients.acknowledging.begin,
            self.console,
        )

    def _readiness(self) -> list[Callable[[], HealthCheck]]:
        grace = self.settings.redis.redis_grace_seconds
        return [
            *self.events.delivery.readiness(),
            functools.partial(check_redis, self.events.bus, grace),
            functools.partial(check_room, self.clients.engine, self.clients.admission),
            functools.partial(check_load, self.clients.overload),
            *self.peering.readiness(),
            *self.clients.identification.readiness(),
        ]
