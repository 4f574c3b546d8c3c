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
    quantiles,
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
        Panel(
            "By transport",
            "Clients stay on polling behind a proxy that passes no WebSockets.",
            by("transport", metric("connections")),
            is_stacked=True,
        ),
        Panel(
            "CPU",
            "One pod uses at most one core.",
            pods_and_total(rate("cpu_seconds_total", prefix="process_")),
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "Resident memory. Near the container's limit a pod refuses new clients.",
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
            "By pattern; events without an answer are counted too.",
            by("pattern", rate("tcp_request_duration_seconds_count")),
        ),
        Panel(
            "NestJS port, p99",
            "By pattern, from the whole request to its answer.",
            (Query(quantile(0.99, "tcp_request_duration_seconds", "pattern"), "{{pattern}}"),),
            unit="s",
        ),
        Panel(
            "Forwarded requests a second",
            "For sessions of other pods, by outcome; unreachable should be 0.",
            by("outcome", rate("forwarded_requests_total")),
        ),
        Panel(
            "Moved sessions a second",
            "To the pod of their WebSocket, after an upgrade. Declined ones stay tunnelled.",
            (
                Query(
                    f"sum by (direction, outcome) ({rate('moved_sessions_total')})",
                    "{{direction}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Moving a session",
            "From the end of the upgrade until the new pod has taken the session.",
            quantiles("session_move_seconds"),
            unit="s",
        ),
        Panel(
            "Open tunnels",
            "WebSockets whose session is on another pod: for a moment, or without a log for good.",
            pods_and_total(metric("tunnels")),
        ),
        Panel(
            "Peer failures a second",
            "By reason; unreachable and refused should be 0. Pods that are replaced are lost.",
            by("reason", rate("peer_failures_total")),
        ),
        Panel(
            "Peers and links",
            "Other pods that are known, and open links to them; links are opened when needed.",
            (
                Query(f"sum({metric('peers')})", "peers"),
                Query(f"sum({metric('peer_links')})", "links"),
            ),
        ),
    ),
)
