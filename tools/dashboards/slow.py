"""Who is slow? A client, a pod, or Redis."""

from __future__ import annotations

from tools.dashboards.shared import LOOP_LAG, PUBLISH_TO_WRITE
from tools.dashboards.words import (
    Dashboard,
    Panel,
    Query,
    each_pod,
    metric,
    pods_and_total,
    quantile,
    quantiles,
    rate,
    risen,
    slowest,
    stat,
)

SLOW = Dashboard(
    "slow",
    "Who is slow?",
    (
        stat(
            "Slow clients closed", "In the time shown.", risen("slow_consumers_total"), red_from=1
        ),
        stat("Buffered bytes", "For all clients.", f"sum({metric('write_buffer_bytes')})", "bytes"),
        stat(
            "For one client",
            "The most that waits for any client.",
            f"max({metric('write_buffer_largest_bytes')})",
            "bytes",
        ),
        stat(
            "Write, p99",
            "Of one batch to all its sockets.",
            quantile(0.99, "write_duration_seconds"),
            "s",
        ),
        stat(
            "Event loop, p99",
            "How late timers fire, on all pods.",
            quantile(0.99, "event_loop_lag_seconds"),
            "s",
            red_from=0.25,
        ),
        stat(
            "Redis round trip",
            "Maximum of all pods.",
            f"max({metric('redis_round_trip_seconds')})",
            "s",
        ),
        Panel(
            "Publish to write, distribution",
            "Number of events by duration.",
            (Query(f"sum by (le) ({rate('publish_to_write_seconds_bucket')})", "{{le}}"),),
            unit="s",
            kind="heatmap",
        ),
        PUBLISH_TO_WRITE,
        Panel(
            "Writing a batch",
            "Encoding it and writing it to all its sockets. The dots lead to traces.",
            quantiles("write_duration_seconds", exemplars=True),
            unit="s",
        ),
        Panel(
            "Writing a batch, p99",
            "By pod. One pod far above the others lacks CPU, or has the largest rooms.",
            slowest("write_duration_seconds"),
            unit="s",
        ),
        LOOP_LAG,
        Panel(
            "Slow clients closed",
            "Clients with more buffered than CONSTELLATION_MAX_WRITE_BUFFER_BYTES.",
            pods_and_total(f"increase({metric('slow_consumers_total')}[$__rate_interval])"),
        ),
        Panel(
            "Buffered bytes",
            "For all clients of a pod.",
            pods_and_total(metric("write_buffer_bytes")),
            unit="bytes",
        ),
        Panel(
            "Buffered bytes for one client",
            "Maximum of each pod. A client that does not read shows here before it is closed.",
            each_pod(metric("write_buffer_largest_bytes")),
            unit="bytes",
        ),
        Panel(
            "Writes with several events",
            "Share of all writes; rises with the load.",
            (
                Query(
                    f"sum by (pod) ({rate('coalesced_writes_total')})"
                    f" / sum by (pod) ({rate('writes_total')})",
                    "{{pod}}",
                ),
            ),
            unit="percentunit",
        ),
    ),
)
