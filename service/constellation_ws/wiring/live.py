"""Live delivery: what is published goes straight to the sockets; nothing is retained."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.log.direct import DirectEntries
from constellation_ws.log.direct_partitions import DirectPartitions
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.recovery.none import NoRecovery
from constellation_ws.recovery.resume import Recovery
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.names import Names
from constellation_ws.services.once import PUBLISHING, Once
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.consumer import Consumer
from constellation_ws.wiring.recording import TRIM_MARGIN_SECONDS
from constellation_ws.wiring.redis_clients import RedisClients
from constellation_ws.wiring.resuming import Expect, NotResuming, Parts

logger = structlog.get_logger(__name__)


class Live:
    """Pub/Sub, and what producers append to the log themselves, as `Durable` delivers it."""

    def __init__(
        self, settings: Settings, redis: RedisClients, bus: RedisBus, names: Names, metrics: Metrics
    ) -> None:
        self._bus = bus
        self._metrics = metrics
        window_seconds = settings.delivery.recovery_window_seconds + TRIM_MARGIN_SECONDS

        def follow(number: int) -> DirectEntries:
            client = redis.of_partition(number).vital
            return DirectEntries(client, names.of_partition(number), window_seconds)

        self._direct = DirectPartitions(redis.vital, names, follow)
        self._ticks = names.ticks.encode()
        self.resuming = NotResuming()
        self.send_all = bus.publisher.publish_all
        keep_seconds = settings.api.api_idempotency_seconds
        only = [(redis.requests, names)]
        self.once = Once(only, Partitioning().find, PUBLISHING, keep_seconds)

    def parts(
        self,
        consumer: Consumer,
        recovery: Recovery | NoRecovery,
        reconnect_clients: Callable[[], None],
        expect: Expect,
    ) -> Parts:
        """Give what has to run."""
        listener = _Listener(consumer, self._ticks, self._metrics)
        return {
            "subscription": self._bus.run(listener),
            "direct entries": self._direct.run(listener.receive),
        }

    def readiness(self) -> list[Callable[[], HealthCheck]]:
        """Nothing but the subscription counts."""
        return []

    @property
    def is_recorder(self) -> bool:
        """No pod records."""
        return False

    @property
    def is_listener(self) -> bool:
        """Every pod receives all events from Pub/Sub."""
        return True

    def register(self, metrics: Metrics) -> None:
        """Nothing of it is read at a scrape."""

    async def hand_over(self) -> None:
        """Nothing is recorded."""


class _Listener:
    """Hands what is published straight to the sockets."""

    def __init__(self, consumer: Consumer, ticks: bytes, metrics: Metrics) -> None:
        """On the channel `ticks` recorders speak, where other pods keep a log."""
        self._consumer = consumer
        self._ticks = ticks
        self._metrics = metrics

    def receive(self, batch: list[Published]) -> None:
        """Deliver one read."""
        ticks = self._ticks
        self._consumer.deliver([one for one in batch if one[0] != ticks])

    def interrupted(self, *, is_lossy: bool) -> None:
        """Count what may be lost: without a log nobody can resume, and no client is notified."""
        if is_lossy:
            logger.warning("published events may be lost: the subscription was interrupted")
            self._metrics.lost_events.labels("interrupted").inc()

    def change(self, *, listens: bool) -> None:
        """Events are never left out: only with a log there is another way."""
