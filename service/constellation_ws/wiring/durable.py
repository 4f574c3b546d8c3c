"""Durable delivery: events are recorded in the log, and delivered from there."""

from __future__ import annotations

from collections.abc import Callable

from constellation_ws.delivery.relay import Relay
from constellation_ws.delivery.rooms import Rooms
from constellation_ws.log.layout import Logged
from constellation_ws.log.logs import Logs
from constellation_ws.log.places import rest_of_offset
from constellation_ws.log.producer import Producer
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recording.seat import PodSeat
from constellation_ws.recovery.none import NoRecovery
from constellation_ws.recovery.resume import Recovery
from constellation_ws.redis_io.bus import Published, RedisBus
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.services.once import APPENDING, Once
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.consumer import Consumer
from constellation_ws.wiring.readiness import check_recording, check_source
from constellation_ws.wiring.redis_clients import RedisClients
from constellation_ws.wiring.resuming import Expect, NotResuming, Parts, Resuming

_UNRECORDED_BYTES = 64 * 1024 * 1024
"""What Redis refuses to record is retained up to this: a minute of a thousand events a second."""
TRIM_MARGIN_SECONDS = 10.0
"""Retained beyond the window: a client that reconnects at its end still finds the beginning."""


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
        spawn: Spawn,
    ) -> None:
        """What comes on `volatile` channels is delivered live, and not recorded."""
        self._bus, self._grace_seconds = bus, settings.redis.redis_grace_seconds
        unrecorded = Unrecorded(bus.instance.encode(), _UNRECORDED_BYTES)
        mark = SessionMark(bus.instance)
        self.log = RedisLog(redis.vital, redis.requests, names, unrecorded, mark, metrics)
        self._seat = PodSeat(bus, self.log, unrecorded, settings.delivery.log_listeners)
        self._recorder = Recorder(
            bus,
            self.log,
            unrecorded,
            self._seat,
            names,
            metrics,
            window_seconds=settings.delivery.recovery_window_seconds + TRIM_MARGIN_SECONDS,
            max_events=settings.delivery.log_max_entries,
            packs_appends=settings.delivery.log_packing == "auto",
            volatile=frozenset(channel.encode() for channel in volatile),
        )
        self.resuming: Resuming | NotResuming = NotResuming()
        if settings.delivery.recovery != "off":
            parts = (Logs([self.log]), redis.sessions, names, rooms, relay)
            self.resuming = Resuming(*parts, settings, spawn)
        self.send_all = Producer(redis.once, names, volatile).append_all
        self.once = Once(redis.requests, names, APPENDING, settings.api.api_idempotency_seconds)

    def parts(
        self,
        consumer: Consumer,
        recovery: Recovery | NoRecovery,
        reconnect_clients: Callable[[], None],
        expect: Expect,
    ) -> Parts:
        """Give what has to run."""
        follower = _Follower(Logs([self.log]), 0, consumer, self.resuming, reconnect_clients)
        return {
            "subscription": self._bus.run(_Intake(self._recorder, consumer)),
            "log": self.log.run(follower),
            "recorder": self._recorder.run(),
            **self.resuming.parts(expect, recovery.fence),
        }

    def readiness(self) -> list[Callable[[], HealthCheck]]:
        """Give what readiness looks at."""
        return [
            self._check_log,
            lambda: check_recording(self._recorder.fault, self._grace_seconds),
        ]

    @property
    def is_recorder(self) -> bool:
        """Whether this pod is the one that appends to the log."""
        return self._recorder.holds_lease

    @property
    def is_listener(self) -> bool:
        """Whether this pod receives events from Pub/Sub, as the recorder or a candidate for it."""
        return self._seat.is_listener

    def register(self, metrics: Metrics) -> None:
        """Register what is read at each scrape."""
        recorder, log = self._recorder, self.log
        metrics.register(
            "constellation_recording_blocked",
            "1 while received events cannot be recorded; the log line and /readyz have the reason.",
            lambda: float(recorder.fault.since is not None),
        )
        metrics.register(
            "constellation_unrecorded_events",
            "Events that this pod has received but not yet seen in the log.",
            lambda: float(recorder.unrecorded_events),
        )
        metrics.register(
            "constellation_packing",
            "1 while this pod is the recorder and packs the events that it appends together into "
            "one entry of the log.",
            lambda: float(recorder.is_packing),
        )
        # An alert takes it for the sign that somebody must record.
        metrics.register(
            "constellation_log_lag_seconds",
            "Age of the newest entry of the log when this pod read it, by Redis' clock; "
            "0 if it has read everything.",
            lambda: log.lag_seconds,
        )

    async def hand_over(self) -> None:
        """Record what has come, and let another pod go on."""
        await self._recorder.retire()

    def _check_log(self) -> HealthCheck:
        return check_source(
            "log",
            has_stood=self.log.has_followed,
            lost_at=self.log.disconnected_at,
            grace=self._grace_seconds,
        )


class _Intake:
    """Retains what is to be recorded, and executes the commands of pods at once."""

    def __init__(self, recorder: Recorder, consumer: Consumer) -> None:
        self._recorder = recorder
        self._consumer = consumer

    def receive(self, batch: list[Published]) -> None:
        """Receive one read from Pub/Sub."""
        commands = self._recorder.receive(batch)
        if commands:
            for handover in self._consumer.deliver(commands):
                self._recorder.take_over(handover)

    def interrupted(self, *, is_lossy: bool) -> None:
        """Note that messages may be missing from here on."""
        self._recorder.interrupted(is_lossy=is_lossy)

    def change(self, *, listens: bool) -> None:
        """Note whether events are received from Pub/Sub from here on, or only from the log."""
        self._recorder.change(listens=listens)


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
