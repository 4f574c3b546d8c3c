"""What did the roll do? Drains, reconnects, and what was replayed."""

from __future__ import annotations

from tools.dashboards.shared import CONNECTIONS, LOOP_LAG, PUBLISH_TO_WRITE, RECOVERIES
from tools.dashboards.words import (
    Dashboard,
    Panel,
    Query,
    by,
    each_pod,
    metric,
    pods_and_total,
    rate,
    risen,
    stat,
)

ROLL = Dashboard(
    "roll",
    "What did the roll do?",
    (
        stat(
            "Draining pods",
            "Pods that are stopping and close their connections one after the other.",
            f"sum({metric('draining')})",
        ),
        stat(
            "Connections to close",
            "On draining pods.",
            f"sum({metric('drain_remaining')})",
        ),
        stat("Clients", "Connected to /chats.", f"sum({metric('sockets')})"),
        stat("Events replayed", "In the time shown.", risen("replayed_events_total")),
        stat(
            "Gaps in the log",
            "In the time shown; clients may have missed events.",
            risen("log_gaps_total"),
            red_from=1,
        ),
        stat("Slow clients closed", "In the time shown.", risen("slow_consumers_total")),
        Panel(
            "Connections",
            "The draining pod's fall slowly; the total stays level.",
            CONNECTIONS.queries,
        ),
        Panel(
            "Pods by version",
            "In a rollout the old version goes as the new one comes.",
            (Query(f"count by (version) ({metric('build_info')})", "{{version}}"),),
            is_stacked=True,
        ),
        Panel(
            "Drains",
            "Connections that are not closed yet.",
            each_pod(metric("drain_remaining")),
        ),
        Panel(
            "Time left to drain",
            "Negative after the deadline.",
            each_pod(f"({metric('drain_deadline_timestamp_seconds')} > 0) - time()"),
            unit="s",
        ),
        Panel(
            "Connects a second, by code",
            "Each closed client connects again once; codes other than ok are refusals.",
            by("code", rate("connects_total")),
        ),
        Panel(
            "Disconnects a second, by reason",
            "In a roll the reason is drain; others point to the network or the clients.",
            by("reason", rate("disconnects_total")),
        ),
        RECOVERIES,
        Panel(
            "Replayed events a second",
            "Events that clients missed while disconnected.",
            pods_and_total(rate("replayed_events_total")),
        ),
        Panel(
            "Recorder",
            "The lease moves from pod to pod; the total is 1.",
            pods_and_total(metric("recorder")),
        ),
        PUBLISH_TO_WRITE,
        LOOP_LAG,
        Panel(
            "Deliveries a second",
            "By pod: they move with the clients, and the total stays level.",
            pods_and_total(rate("deliveries_total")),
        ),
    ),
)
