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
        stat("Pods that drain", "", f"sum({metric('draining')})"),
        stat(
            "Still to be closed",
            "Connections of pods that drain.",
            f"sum({metric('drain_remaining')})",
        ),
        stat("Clients", "Connected to /chats.", f"sum({metric('sockets')})"),
        stat("Events replayed", "In the time shown.", risen("replayed_events_total")),
        stat(
            "Gaps in the log", "Events lost in the time shown.", risen("log_gaps_total"), red_from=1
        ),
        stat("Slow clients closed", "In the time shown.", risen("slow_consumers_total")),
        Panel(
            "Connections",
            "A slope for the pod that goes, none for all of them.",
            CONNECTIONS.queries,
        ),
        Panel(
            "Pods by version",
            "",
            (Query(f"count by (version) ({metric('build_info')})", "{{version}}"),),
            is_stacked=True,
        ),
        Panel(
            "Drains",
            "Connections that are still to be closed.",
            each_pod(metric("drain_remaining")),
        ),
        Panel(
            "Time left to drain",
            "Below zero it has overrun.",
            each_pod(f"({metric('drain_deadline_timestamp_seconds')} > 0) - time()"),
            unit="s",
        ),
        Panel("Connects a second, by code", "", by("code", rate("connects_total"))),
        Panel("Disconnects a second, by reason", "", by("reason", rate("disconnects_total"))),
        RECOVERIES,
        Panel(
            "Replayed events a second",
            "What clients missed in between.",
            pods_and_total(rate("replayed_events_total")),
        ),
        Panel(
            "Recorder",
            "The lease goes from pod to pod; in all it is 1.",
            pods_and_total(metric("recorder")),
        ),
        PUBLISH_TO_WRITE,
        LOOP_LAG,
        Panel("Deliveries a second", "", pods_and_total(rate("deliveries_total"))),
    ),
)
