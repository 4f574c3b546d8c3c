"""Metrics of what goes to other pods, to the API about chats, and to backends."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from constellation_ws.observability.tallies import DurationsBy, Tally


class RemoteMetrics:
    """That part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._declare_peers(registry)
        self._declare_calls(registry)
        self._declare_presence(registry)

    def _declare_peers(self, registry: CollectorRegistry) -> None:
        """Requests and sessions that cross to other pods."""
        self.forwarded_requests = Counter(
            "constellation_forwarded_requests",
            "Requests of long-polling clients that were forwarded to the pod that holds the "
            "session, by method and outcome (answered, unknown_session, unreachable: that pod is "
            "gone or cannot be reached, gone: the client hung up).",
            ["method", "outcome"],
            registry=registry,
        )
        self.moved_sessions = Counter(
            "constellation_moved_sessions",
            "Sessions that moved between pods after an upgrade that reached another pod, by "
            "direction and outcome (moved, declined: it stays and its WebSocket is tunnelled, "
            "failed: the client had to reconnect).",
            ["direction", "outcome"],
            registry=registry,
        )
        self.session_move = Histogram(
            "constellation_session_move_seconds",
            "Time in which a session was handed over to another pod.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self.peer_failures = Counter(
            "constellation_peer_failures",
            "Failures between pods by reason: unreachable (no connection to its peer port), "
            "refused (no mutual proof of being pods of one deployment), lost (an open link ended), "
            "stranger (something connected to this pod's peer port without a proof).",
            ["reason"],
            registry=registry,
        )
        for reason in ("unreachable", "refused", "lost", "stranger"):
            self.peer_failures.labels(reason)
        for method in ("GET", "POST"):
            self.forwarded_requests.labels(method, "answered")
        for direction in ("in", "out"):
            self.moved_sessions.labels(direction, "moved")

    def _declare_calls(self, registry: CollectorRegistry) -> None:
        """Calls to the API and to backends."""
        self.chat_access = Histogram(
            "constellation_chat_access_duration_seconds",
            "Queries to the API about access to a chat, by outcome: yes, no, timeout, failed (no "
            "usable answer), busy (not sent: the queue was full, or the wait too long).",
            ["outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=registry,
        )
        self.backend_requests = Tally(
            "constellation_backend_requests",
            "Requests of clients to a backend, by outcome: ok, refused, timeout, unavailable (no "
            "usable answer), busy (not sent: too many waited), open (not sent: the circuit breaker "
            "was open).",
            ["backend", "outcome"],
            registry,
        )
        self.backend_seconds = DurationsBy(
            "constellation_backend_request_duration_seconds",
            "Requests that were sent to a backend, until they were answered or given up.",
            "backend",
            (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry,
        )
        self.backend_breaker = Gauge(
            "constellation_backend_breaker_state",
            "Circuit breaker of a backend: 0 closed (requests are sent), 1 half-open (one is sent "
            "as a probe), 2 open (none is sent).",
            ["backend"],
            registry=registry,
        )

    def _declare_presence(self, registry: CollectorRegistry) -> None:
        """Online and offline, as they are announced to a backend."""
        self.presence_events = Counter(
            "constellation_presence_events",
            "Users announced to the backend by this pod, by status (online, offline).",
            ["status"],
            registry=registry,
        )
        self.presence_failures = Counter(
            "constellation_presence_failures",
            "Failures to announce online and offline, which are tried again, by reason: redis (it "
            "did not accept or answer), timeout, unreachable (no connection to the backend), "
            "failed (its status is no success), refused (it does not accept these events).",
            ["reason"],
            registry=registry,
        )
        self.presence_lost_events = Counter(
            "constellation_presence_lost_events",
            "Events of presence that the backend did not get, by reason: refused (by the backend), "
            "removed (from the stream before they were posted).",
            ["reason"],
            registry=registry,
        )
        for status in ("online", "offline"):
            self.presence_events.labels(status)
        for reason in ("redis", "timeout", "unreachable", "failed", "refused"):
            self.presence_failures.labels(reason)
        for reason in ("refused", "removed"):
            self.presence_lost_events.labels(reason)
