"""What the judge knows the gateway by, from outside: settings, metrics, keys. All of it is here."""

from __future__ import annotations

LOG_KEY = "constellation:events"
"""The log; producers append to it, and disasters delete it."""

SETTINGS: dict[str, object] = {
    "CONSTELLATION_DRAIN_DELAY_SECONDS": 0.7,
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": 2,
    "CONSTELLATION_PING_INTERVAL_SECONDS": 3,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": 2,
    "CONSTELLATION_RECOVERY_WINDOW_SECONDS": 120,
    "CONSTELLATION_MAX_REPLAY_EVENTS": 100_000,
    "CONSTELLATION_LOG_LEVEL": "debug",
}
HEARTBEAT_SECONDS = 5.0
"""Ping interval and timeout: without a ping for so long, a connection is dead to its client."""

RECORDER = "constellation_recorder"
"""Gauge: 1 on the pod that holds the recorder's lease."""
REDIS_UP = "constellation_redis_up"
"""Gauge: 0 on a pod that knows that Redis is away."""
LOSSES = ("constellation_log_gaps_total", "constellation_lost_events_total")
"""Counters of losses; each that exists counts."""

APPENDS, SUBSCRIBES, REPLICATES = "appends", "subscribes", "replicates"


def kind_of(sent: bytes) -> str | None:
    """Tell what a connection to Redis is for, by what was sent on it.

    The recorder appends by a script, and only what publishers sent has a timestamp in it.
    """
    if b"SUBSCRIBE" in sent:
        return SUBSCRIBES
    if b"PSYNC" in sent:
        return REPLICATES
    if b'"timestamp":' in sent and (b"EVAL" in sent or b"FCALL" in sent):
        return APPENDS
    return None
