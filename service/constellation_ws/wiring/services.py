"""The two ports of services, TCP and HTTP, made from the settings."""

from __future__ import annotations

import socket

from constellation_ws.api import openapi
from constellation_ws.api.app import Api, ApiLimits
from constellation_ws.api.operations import Operations
from constellation_ws.messages.admission import Rate
from constellation_ws.nest.rpc import Rpc
from constellation_ws.nest.server import NestTcp
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NoTracing
from constellation_ws.observability.probes import Health
from constellation_ws.observability.tracing import Tracing
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.actions import Actions
from constellation_ws.services.sending import Sending
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring import bounds
from constellation_ws.wiring.clients import Clients
from constellation_ws.wiring.events import Events

_FRAME_BYTES = 4_096
"""What a body has besides its event: the channel and the keys."""


class Services:
    """What services may do, and the ports on which they request it.

    The HTTP API is there without a port, too: it answers once somebody serves it.
    """

    def __init__(
        self,
        settings: Settings,
        events: Events,
        clients: Clients,
        health: Health,
        metrics: Metrics,
        spawn: Spawn,
        tracing: Tracing | NoTracing,
    ) -> None:
        # Each port sends in a queue of its own: one that is flooded holds up no other.
        def make_actions() -> Actions:
            return Actions(
                events.bus.all_pods,
                clients.presence,
                events.table,
                Sending(events.delivery.send_all, spawn),
                events.delivery.once,
                tracing,
                events.names,
                events.namespaces,
                max_event_bytes=settings.limits.max_event_bytes,
            )

        self.make_actions = make_actions
        self.tcp = NestTcp(
            Rpc(make_actions(), events.table, socket.gethostname(), tracing).patterns(),
            _TcpReport(metrics),
            bounds.tcp_limits(settings.limits, clients.files),
            spawn,
            clients.engine.turns,
            bounds.tcp_tls(settings.tls),
        )
        self.api = _make_api(settings, make_actions(), events, metrics, health, spawn)


def _make_api(
    settings: Settings,
    actions: Actions,
    events: Events,
    metrics: Metrics,
    health: Health,
    spawn: Spawn,
) -> Api:
    per_second = settings.limits.api_max_requests_per_second
    rows = Operations(actions).rows()
    return Api(
        rows,
        {openapi.PATH: openapi.document(rows, events.table, events.namespaces.scopes)},
        settings.api.callers(),
        ApiLimits(settings.limits.max_event_bytes + _FRAME_BYTES, Rate(per_second, 2 * per_second)),
        _ApiReport(metrics),
        spawn,
        health.is_draining,
    )


class _TcpReport:
    """What the TCP port reports, as metrics."""

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


class _ApiReport:
    """What the HTTP API reports, as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def request(self, route: str, outcome: str, seconds: float) -> None:
        self._metrics.api_requests.labels(route, outcome).observe(seconds)
