"""Panels that more than one question needs."""

from __future__ import annotations

from tools.dashboards.words import (
    Mark,
    Panel,
    Query,
    by,
    metric,
    pods_and_total,
    quantiles,
    rate,
    slowest,
)

_PODS = metric("build_info")
MARKS = (
    Mark(
        "Deploys",
        Query(f"count by (version) ({_PODS} unless {_PODS} offset 1m)", "new pods, {{version}}"),
        "blue",
    ),
    Mark("Drains", Query(f"max by (pod) ({metric('draining')}) > 0", "{{pod}} drains"), "orange"),
)
"""Why a line may bend: pods that are new, and pods that are stopping."""

CONNECTIONS = Panel(
    "Connections",
    "Engine.IO connections, by pod.",
    pods_and_total(metric("connections")),
)
PUBLISH_TO_WRITE = Panel(
    "Publish to write",
    "From the event's entry in the log to its write to a socket. The dots are single events; each "
    "leads to its trace.",
    quantiles("publish_to_write_seconds", exemplars=True),
    unit="s",
)
LOOP_LAG = Panel(
    "Event-loop lag, p99",
    "How late timers fire. Everything that a pod does is delayed as much.",
    slowest("event_loop_lag_seconds"),
    unit="s",
)
RECOVERIES = Panel(
    "Resumed sessions a second",
    "Clients that reconnect with a pid, by outcome.",
    by("outcome", rate("recoveries_total")),
)
