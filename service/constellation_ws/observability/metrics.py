"""The process's Prometheus metrics: their names, labels and help; no decision is made here.

Labels are bounded: codes, reasons, transports, channels of the route table. Never a user, a room or
an id.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from constellation_ws import __version__
from constellation_ws.observability.remote_metrics import RemoteMetrics
from constellation_ws.observability.tallies import Durations, Tally, Total

Read = Callable[[], float]


class Metrics(RemoteMetrics):
    """One registry per process part set, so that tests can hold two gateways apart."""

    def __init__(self) -> None:
        # Registered collectors are asked for their names, so that none is registered twice.
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        self._declare_clients(registry)
        self._declare_events(registry)
        self._declare_commands(registry)
        self._declare_load(registry)
        self._declare_recording(registry)
        self._declare_recovery(registry)
        self._declare_services(registry)
        self._declare_durations(registry)
        super().__init__(registry)
        self.build = Gauge(
            "constellation_build_info",
            "Always 1; the labels have the versions.",
            ["version", "python"],
            registry=registry,
        )
        self.build.labels(__version__, platform.python_version()).set(1)
        self.register("constellation_asyncio_tasks", "Tasks on the event loop.", _count_tasks)

    def register(self, name: str, help_text: str, read: Read) -> None:
        """Register a gauge whose value is read at each scrape."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def register_total(self, name: str, help_text: str, read: Read) -> None:
        """Register a counter that is kept elsewhere, whose value is read at each scrape."""
        self.registry.register(Total(name, help_text, read))

    def _declare_clients(self, registry: CollectorRegistry) -> None:
        """What clients do."""
        self.connects = Tally(
            "constellation_connects",
            "Namespace connections by result: ok, or the code of the refusal.",
            ["code"],
            registry,
        )
        self.disconnects = Tally(
            "constellation_disconnects",
            "Namespace connections closed, by reason.",
            ["reason"],
            registry,
        )
        self.requests = Tally(
            "constellation_client_requests",
            "Requests of clients (join-chat, leave-chat, refresh-token) by outcome: ok, or the "
            "error code.",
            ["event", "outcome"],
            registry,
        )

    def _declare_events(self, registry: CollectorRegistry) -> None:
        """Events that are read from Redis."""
        self.events = Tally(
            "constellation_events",
            "Events read from Redis by channel and outcome "
            "(delivered, no_recipient, nothing_to_send, malformed, too_large).",
            ["channel", "outcome"],
            registry,
        )
        self.invalid_ids = Tally(
            "constellation_invalid_ids",
            "Recipients in events that were skipped because they are not ids, by channel.",
            ["channel"],
            registry,
        )
        self.deliveries = Tally(
            "constellation_deliveries",
            "Events delivered, one per recipient, by event name.",
            ["event"],
            registry,
        )

    def _declare_commands(self, registry: CollectorRegistry) -> None:
        """Commands that are read from Redis, and what comes of those of emitters."""
        self.commands = Counter(
            "constellation_commands",
            "Commands between pods and from external emitters, by kind, and those dropped "
            "(malformed, too_large).",
            ["kind"],
            registry=registry,
        )
        self.acks = Counter(
            "constellation_acks",
            "Acks of clients to events that services sent with `ack`, by outcome: ok, unknown (too "
            "late, or never requested of this client), duplicate; and such events whose acks this "
            "pod did not accept (too_many).",
            ["outcome"],
            registry=registry,
        )
        self.unsupported = Tally(
            "constellation_emitter_unsupported",
            "Messages of Socket.IO emitters and servers that this gateway does not support, by "
            "kind (namespace: one that is not served; server_side_emit, query, emit_with_ack, "
            "request). Each pod counts all of them.",
            ["kind"],
            registry,
        )

    def _declare_load(self, registry: CollectorRegistry) -> None:
        """What is refused or dropped because there is too much of it."""
        self.files_exhausted = Counter(
            "constellation_open_files_exhausted",
            "Number of times that no open file was left; checked once a second.",
            registry=registry,
        )
        self.jobs_dropped = Tally(
            "constellation_errands_dropped",
            "Background jobs for other pods (replies, fences) that were dropped, by reason: full "
            "(queue full), expired (not sent in time), failed (Redis did not accept it).",
            ["reason"],
            registry,
        )
        self.slow_consumers = Counter(
            "constellation_slow_consumers",
            "Connections closed because too much data was buffered for them.",
            registry=registry,
        )
        self.reading_paused = Counter(
            "constellation_reading_paused",
            "Times a client was not read for a while, as reading it had taken more of the event "
            "loop's time than its share.",
            registry=registry,
        )

    def _declare_recording(self, registry: CollectorRegistry) -> None:
        """The subscription, and the log behind it."""
        self.redis_reconnects = Counter(
            "constellation_redis_reconnects",
            "Number of times that the Redis subscription or the connection that reads the log was "
            "lost, by reason; for the log it begins with `log`.",
            ["reason"],
            registry=registry,
        )
        self.log_gaps = Counter(
            "constellation_log_gaps",
            "Gaps in the log that this pod found, by reason: entries are missing, an epoch was "
            "ended (also by another pod), or this pod fell behind (trimmed).",
            ["reason"],
            registry=registry,
        )
        self.lost_events = Counter(
            "constellation_lost_events",
            "Events that this pod received from Redis and that could not be recorded, by reason; "
            "all clients get new sessions.",
            ["reason"],
            registry=registry,
        )
        self.recorded = Counter(
            "constellation_recorded_events",
            "Events that this pod, as the recorder, appended to the log from Pub/Sub.",
            registry=registry,
        )
        self.recorded_entries = Counter(
            "constellation_recorded_entries",
            "Entries of the Redis stream that these events became; fewer than events if they are "
            "packed.",
            registry=registry,
        )

    def _declare_recovery(self, registry: CollectorRegistry) -> None:
        """Sessions that are resumed, and the way to Redis."""
        self.recoveries = Counter(
            "constellation_recoveries",
            "Attempts of clients to resume a session, by outcome: recovered, or why not (unknown, "
            "gone, too_much, unproven, access_unavailable, unavailable, other_epoch, unreadable, "
            "superseded, stuck, divided).",
            ["outcome"],
            registry=registry,
        )
        self.replayed = Counter(
            "constellation_replayed_events",
            "Missed events that were sent to resumed sessions.",
            registry=registry,
        )
        self.redis_round_trip = Gauge(
            "constellation_redis_round_trip_seconds",
            "Time of the last heartbeat from PUBLISH to its receipt.",
            registry=registry,
        )

    def _declare_services(self, registry: CollectorRegistry) -> None:
        """The ports of services."""
        self.tcp_connections = Gauge(
            "constellation_tcp_connections",
            "Open connections on the TCP microservice port.",
            registry=registry,
        )
        self.tcp_refused = Counter(
            "constellation_tcp_refused",
            "TCP connections that the gateway refused or closed, by reason.",
            ["reason"],
            registry=registry,
        )
        self.tcp_requests = Histogram(
            "constellation_tcp_request_duration_seconds",
            "Requests and events on the TCP microservice port, by pattern and outcome.",
            ["pattern", "outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=registry,
        )
        self.api_refused = Counter(
            "constellation_api_refused",
            "Connections to the HTTP API that the gateway refused or closed, by reason.",
            ["reason"],
            registry=registry,
        )
        self.api_requests = Histogram(
            "constellation_api_request_duration_seconds",
            "Requests to the HTTP API, by route and outcome: ok, the error code, or gone (the "
            "caller hung up).",
            ["route", "outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )

    def _declare_durations(self, registry: CollectorRegistry) -> None:
        """Times of the path of an event."""
        self.publish_to_write = Durations(
            "constellation_publish_to_write_seconds",
            "Time from an event's entry into the log, by Redis' clock, to its write to sockets; "
            "in live mode from its receipt.",
            (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry,
        )
        self.write_duration = Durations(
            "constellation_write_duration_seconds",
            "Time to decode, encode and write one batch that has a recipient.",
            (5e-5, 1e-4, 25e-5, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
            registry,
        )
        self.event_loop_lag = Durations(
            "constellation_event_loop_lag_seconds",
            "Delay of a timer that fires ten times a second; the gateway's own work should keep it "
            "below 0.02.",
            (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry,
        )


def _count_tasks() -> float:
    return float(len(asyncio.all_tasks()))
