"""Is it delivering? From what is published to what is written."""

from __future__ import annotations

from tools.dashboards.shared import PUBLISH_TO_WRITE
from tools.dashboards.words import (
    Dashboard,
    Panel,
    Query,
    by,
    each_pod,
    metric,
    pods_and_total,
    quantile,
    rate,
    risen,
    slowest,
    stat,
)

DELIVERY = Dashboard(
    "delivery",
    "Is it delivering?",
    (
        stat(
            "Events a second",
            "Every pod reads every event: the maximum of all pods.",
            f"max(sum by (pod) ({rate('events_total')}))",
        ),
        stat(
            "Deliveries a second",
            "Events written to sockets, on all pods; one for three sockets counts three times.",
            f"sum({rate('deliveries_total')})",
        ),
        stat(
            "Publish to write, p99",
            "Of a hundred events, 99 are written to their sockets within this time.",
            quantile(0.99, "publish_to_write_seconds"),
            "s",
            red_from=1,
        ),
        stat(
            "Log lag", "Maximum of all pods.", f"max({metric('log_lag_seconds')})", "s", red_from=10
        ),
        stat(
            "Malformed events",
            "In the time shown.",
            risen("events_total", 'outcome="malformed"'),
            red_from=1,
        ),
        stat(
            "Gaps in the log",
            "In the time shown; clients may have missed events.",
            risen("log_gaps_total"),
            red_from=1,
        ),
        Panel(
            "Events read a second, by channel",
            "Maximum of all pods: every pod reads every event.",
            (
                Query(
                    f"max by (channel) (sum by (channel, pod) ({rate('events_total')}))",
                    "{{channel}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Events a second, by outcome",
            "On all pods; no_recipient is normal if a pod has no recipient of an event.",
            by("outcome", rate("events_total")),
        ),
        Panel(
            "Deliveries a second, by event",
            "Events written to sockets, by the name that clients listen to.",
            by("event", rate("deliveries_total")),
            is_stacked=True,
        ),
        Panel(
            "Deliveries a second, by pod",
            "Should follow the share of clients that each pod has.",
            pods_and_total(rate("deliveries_total")),
        ),
        PUBLISH_TO_WRITE,
        Panel(
            "Publish to write, p99",
            "By pod. One far above the others has a problem of its own: see its event loop.",
            slowest("publish_to_write_seconds"),
            unit="s",
        ),
        Panel(
            "Log lag",
            "Age of the newest entry when it was read; 0 if everything is read.",
            each_pod(metric("log_lag_seconds")),
            unit="s",
        ),
        Panel(
            "Recorded events a second",
            "By the pod that has the recorder's lease; and entries of the stream, which are fewer "
            "where events are packed.",
            (
                *by("pod", rate("recorded_events_total")),
                Query(f"sum({rate('recorded_entries_total')})", "entries"),
            ),
        ),
        Panel(
            "Replayed events a second",
            "To clients that resumed.",
            pods_and_total(rate("replayed_events_total")),
        ),
    ),
)
