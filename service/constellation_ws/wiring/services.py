"""The HTTP API for services, made from the settings."""

from __future__ import annotations

from constellation_ws.api.app import Api, ApiLimits
from constellation_ws.api.operations import Operations
from constellation_ws.delivery.routes import Table
from constellation_ws.messages.admission import Rate
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import Health, Phase
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.actions import Actions
from constellation_ws.settings.settings import Settings

_FRAME_BYTES = 4_096
"""What a body has besides its event: the channel and the keys."""


def make_api(
    settings: Settings,
    actions: Actions,
    table: Table,
    metrics: Metrics,
    health: Health,
    spawn: Spawn,
) -> Api | None:
    """Make the HTTP API; None where no port is set."""
    if settings.api_port is None:
        return None
    per_second = settings.api_max_requests_per_second
    return Api(
        Operations(actions).rows(),
        table,
        settings.api_callers(),
        ApiLimits(settings.max_event_bytes + _FRAME_BYTES, Rate(per_second, 2 * per_second)),
        _ApiReport(metrics),
        spawn,
        lambda: health.phase is Phase.DRAINING,
    )


class _ApiReport:
    """What the HTTP API reports, as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def request(self, route: str, outcome: str, seconds: float) -> None:
        self._metrics.api_requests.labels(route, outcome).observe(seconds)
