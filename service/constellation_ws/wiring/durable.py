"""Durable delivery: events are recorded in the log, and delivered from there."""

from __future__ import annotations

import functools
from collections.abc import Callable

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Rooms
from constellation_ws.log.layout import Logged
from constellation_ws.log.logs import Logs
from constellation_ws.log.places import rest_of_offset
from constellation_ws.log.producer import Producer
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.recording.intake import Intake
from constellation_ws.recovery.none import NoRecovery
from constellation_ws.recovery.resume import Recovery
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.once import APPENDING, Once
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.consumer import Consumer
from constellation_ws.wiring.partition import Partition, part_name
from constellation_ws.wiring.readiness import check_source
from constellation_ws.wiring.recording import Recording
from constellation_ws.wiring.redis_clients import RedisClients
from constellation_ws.wiring.resuming import Expect, NotResuming, Parts, Resuming


class Durable:
    """The log, this pod's part in recording it, and the sessions that resume from it."""

    def __init__(
        self,
        settings: Settings,
        redis: RedisClients,
        bus: RedisBus,
        names: Names,
        relay: Relay,
        rooms: Rooms,
        metrics: Metrics,
        volatile: frozenset[str],
        partitioning: Partitioning,
        spawn: Spawn,
    ) -> None:
        """What comes on `volatile` channels is delivered live, and not recorded."""
        self._bus, self._grace_seconds = bus, settings.redis.redis_grace_seconds
        count = settings.delivery.partitions()
        self._partitions = partitions = [
            Partition(number, count, redis, names, bus.instance, metrics) for number in range(count)
        ]
        self.logs = Logs([one.log for one in partitions])
        recording = (settings.delivery, bus, partitions, partitioning, metrics, volatile)
        self._recording = Recording(*recording)
        self.resuming: Resuming | NotResuming = NotResuming()
        if settings.delivery.recovery != "off":
            parts = (self.logs, redis.sessions, names, rooms, relay, partitioning)
            self.resuming = Resuming(*parts, settings, spawn)
        find, keep_seconds = partitioning.find, settings.api.api_idempotency_seconds
        events = [one.for_events for one in partitions]
        requests = [one.for_requests for one in partitions]
        self.send_all = Producer(events, find, volatile).append_all
        self.once = Once(requests, find, APPENDING, keep_seconds)

    def parts(
        self,
        consumer: Consumer,
        recovery: Recovery | NoRecovery,
        reconnect_clients: Callable[[], None],
        expect: Expect,
    ) -> Parts:
        """Give what has to run."""
        report = (self.resuming, reconnect_clients)
        follow = {
            part_name("log", number): log.run(_Follower(self.logs, number, consumer, *report))
            for number, log in enumerate(self.logs.partitions)
        }
        return {
            "subscription": self._bus.run(_Intake(self._recording.intake, consumer)),
            **follow,
            **self._recording.parts(),
            **self.resuming.parts(expect, recovery.fence),
        }

    def readiness(self) -> list[Callable[[], HealthCheck]]:
        """Give what readiness looks at."""
        logs = [functools.partial(self._check_log, one) for one in self._partitions]
        return [*logs, *self._recording.readiness(self._grace_seconds)]

    @property
    def is_recorder(self) -> bool:
        """Whether this pod is the one that appends to the log, or to a partition of it."""
        return self._recording.is_recorder

    @property
    def is_listener(self) -> bool:
        """Whether this pod receives events from Pub/Sub, as the recorder or a candidate for it."""
        return self._recording.is_listener

    def register(self, metrics: Metrics) -> None:
        """Register what is read at each scrape."""
        self._recording.register(metrics)
        # An alert takes it for the sign that somebody must record.
        metrics.register(
            "constellation_log_lag_seconds",
            "Age of the newest entry of the log when this pod read it, by Redis' clock; "
            "0 if it has read everything. Of several partitions the largest.",
            lambda: max(one.log.lag_seconds for one in self._partitions),
        )

    async def hand_over(self) -> None:
        """Record what has come, and let another pod go on."""
        await self._recording.retire()

    def _check_log(self, partition: Partition) -> HealthCheck:
        return check_source(
            part_name("log", partition.number),
            has_stood=partition.log.following.has_begun,
            lost_at=partition.log.following.disconnected_at,
            grace=self._grace_seconds,
        )


class _Intake:
    """Retains what is to be recorded, and executes the commands of pods at once."""

    def __init__(self, intake: Intake, consumer: Consumer) -> None:
        self._intake = intake
        self._consumer = consumer

    def receive(self, batch: list[Published]) -> None:
        """Receive one read from Pub/Sub."""
        commands = self._intake.receive(batch)
        if commands:
            for handover in self._consumer.deliver(commands):
                self._intake.take_over(handover)

    def interrupted(self, *, is_lossy: bool) -> None:
        """Note that messages may be missing from here on."""
        self._intake.interrupted(is_lossy=is_lossy)

    def change(self, *, listens: bool) -> None:
        """Note whether events are received from Pub/Sub from here on, or only from the log."""
        self._intake.change(listens=listens)


class _Follower:
    """Delivers what a partition of the log brings, and retains it for reconnecting clients."""

    def __init__(
        self,
        logs: Logs,
        partition: int,
        consumer: Consumer,
        resuming: Resuming | NotResuming,
        reconnect_clients: Callable[[], None],
    ) -> None:
        self._logs, self._partition = logs, partition
        self._log = logs.partitions[partition]
        self._consumer = consumer
        self._recent = resuming.recent(partition)
        self._resuming = resuming
        self._reconnect_clients = reconnect_clients
        self.begin_after = self._recent.start

    def deliver(self, batch: list[Logged]) -> None:
        """Deliver one read from the log, and retain it."""
        self._recent.append(batch)
        if len(self._logs) > 1:
            rest = rest_of_offset(self._logs.delivered, self._partition)
            batch = [(log_id + rest, channel, data) for log_id, channel, data in batch]
        self._consumer.deliver_logged(batch, self._log.lag_seconds)

    def report_gap(self, reason: str) -> None:
        """Let every client connect again: its session may have missed something."""
        self._resuming.report_gap(self._reconnect_clients)
