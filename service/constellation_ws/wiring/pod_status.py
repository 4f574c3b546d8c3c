"""What a pod says of itself: read off its parts when somebody asks, and once in five seconds."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable

from constellation_ws import __version__
from constellation_ws.console.pod import memory_bytes
from constellation_ws.console.questions import Drain, PodStatus
from constellation_ws.console.samples import Counters, Sample, Samples
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import Health
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.clients import Clients
from constellation_ws.wiring.events import Events

_NOTHING_YET = Sample(0, 0.0, 0.0, 0.0, 0.0, 0.0)
_TRANSPORTS_SECONDS = 3.0
"""Transports are counted so often at most: each time all sessions are walked."""


class PodReading:
    """Reads the parts of a gateway."""

    def __init__(
        self,
        settings: Settings,
        events: Events,
        clients: Clients,
        metrics: Metrics,
        health: Health,
        drain: Callable[[], tuple[float, int]],
    ) -> None:
        """`drain` gives its deadline in Unix time, and the connections at its begin."""
        self._is_durable = settings.delivery.mode == "durable"
        self._events = events
        self._clients = clients
        self._metrics = metrics
        self._health = health
        self._read_drain = drain
        self._started_at = time.monotonic()
        self._websockets, self._counted_at = 0, -_TRANSPORTS_SECONDS

    def counters(self, now: float) -> Counters:
        """Read what the charts are made of."""
        metrics = self._metrics
        return Counters(
            now,
            len(self._clients.engine.sockets),
            metrics.events.total(),
            metrics.deliveries.total(),
            metrics.connects.total("ok"),
            metrics.event_loop_lag.counts(),
            metrics.publish_to_write.counts(),
        )

    def status(self, samples: Samples) -> PodStatus:
        """Say how the pod is; rates are those of the last step."""
        now, metrics, rates = time.monotonic(), self._metrics, samples.newest or _NOTHING_YET
        sessions = len(self._clients.engine.sockets)
        websockets = min(sessions, self._count_websockets(now))
        memory = self._clients.memory
        return PodStatus(
            name=socket.gethostname(),
            version=__version__,
            python=platform.python_version(),
            uptime_seconds=round(now - self._started_at, 1),
            phase=self._health.phase.value,
            failing=[check.name for check in self._health.ready() if not check.ok],
            websockets=websockets,
            polling=sessions - websockets,
            users=self._clients.presence.user_count,
            sockets=len(self._events.rooms),
            rooms=self._events.rooms.room_count,
            is_recorder=self._events.delivery.is_recorder,
            is_durable=self._is_durable,
            redis_up=self._events.bus.disconnected_at is None,
            redis_ms=round(metrics.redis_round_trip._value.get() * 1_000, 2),
            loop_lag_ms=rates.lag_ms,
            memory_bytes=memory_bytes(),
            memory_limit_bytes=(memory.limit_bytes() or 0) if memory is not None else 0,
            is_overloaded=self._clients.overload.is_on(),
            events=rates.events,
            deliveries=rates.deliveries,
            connects=rates.connects,
            write_ms=rates.write_ms,
            lost_events=_total(metrics.lost_events),
            slow_consumers=_total(metrics.slow_consumers),
            drain=self._drain(sessions),
            pid=os.getpid(),
            is_listener=self._events.delivery.is_listener,
        )

    def _count_websockets(self, now: float) -> int:
        if now - self._counted_at >= _TRANSPORTS_SECONDS:
            sessions = self._clients.engine.sockets.values()
            self._websockets = sum(one.websocket is not None for one in sessions)
            self._counted_at = now
        return self._websockets

    def _drain(self, sessions: int) -> Drain | None:
        if not self._health.is_draining():
            return None
        deadline, at_start = self._read_drain()
        return Drain(at_start, sessions, round(max(0.0, deadline - time.time()), 1))


def _total(counter: object) -> int:
    """Sum a counter of prometheus_client over its labels."""
    samples = counter.collect()[0].samples  # type: ignore[attr-defined]
    return int(sum(one.value for one in samples if one.name.endswith("_total")))
