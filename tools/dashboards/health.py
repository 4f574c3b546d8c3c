"""Is it healthy? Pods, Redis, CPU, memory, and who is let in."""

from __future__ import annotations

from tools.dashboards.shared import CONNECTIONS, LOOP_LAG
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
    stat,
)

HEALTH = Dashboard(
    "health",
    "Is it healthy?",
    (
        stat("Pods", "Scraped gateways.", f"count({metric('build_info')})", green_from=1),
        stat(
            "Pods without a Redis subscription",
            "Their clients receive nothing.",
            f"count({metric('redis_up')} == 0) or vector(0)",
            red_from=1,
        ),
        stat(
            "Recorders",
            "One pod appends Pub/Sub events to the log; none with CONSTELLATION_DELIVERY=live.",
            f"sum({metric('recorder')})",
            green_from=1,
        ),
        stat("Clients", "Connected to /chats.", f"sum({metric('sockets')})"),
        stat("Users online", "Each pod counts its own.", f"sum({metric('users')})"),
        stat(
            "Gaps in the log",
            "In the time shown; clients may have missed events.",
            risen("log_gaps_total"),
            red_from=1,
        ),
        CONNECTIONS,
        Panel("By transport", "", by("transport", metric("connections")), is_stacked=True),
        Panel(
            "CPU",
            "One pod uses at most one core.",
            pods_and_total(rate("cpu_seconds_total", prefix="process_")),
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "",
            pods_and_total(metric("resident_memory_bytes", prefix="process_")),
            unit="bytes",
        ),
        LOOP_LAG,
        Panel(
            "Redis round trip",
            "From a heartbeat's PUBLISH to its receipt.",
            each_pod(metric("redis_round_trip_seconds")),
            unit="s",
        ),
        Panel(
            "Refused connections a second",
            "By code; the README explains each.",
            by("code", rate("connects_total", 'code!="ok"')),
        ),
        Panel(
            "Requests on the NestJS port a second",
            "",
            by("pattern", rate("tcp_request_duration_seconds_count")),
        ),
        Panel(
            "NestJS port, p99",
            "By pattern.",
            (Query(quantile(0.99, "tcp_request_duration_seconds", "pattern"), "{{pattern}}"),),
            unit="s",
        ),
    ),
)
