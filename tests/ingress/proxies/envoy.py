"""Envoy, round-robin by request."""

from __future__ import annotations

from pathlib import Path

from tests.chart.rendering import Object
from tests.proxies.envoy import Envoy

_ROUTE: Object = {
    "match": {"prefix": "/"},
    "route": {
        "cluster": "pods",
        "timeout": "0s",  # its default of 15 s would end a poll that waits
        "retry_policy": {"retry_on": "connect-failure,reset-before-request", "num_retries": 2},
    },
}
_BALANCING: Object = {
    "lb_policy": "ROUND_ROBIN",
    # A poll that waits and a WebSocket are open requests; Envoy allows 1,024.
    "circuit_breakers": {"thresholds": [{"max_connections": 10_000, "max_requests": 10_000}]},
}


def envoy(folder: Path) -> Envoy:
    # One worker, as of NGINX: each has a turn of its own.
    return Envoy(folder, _ROUTE, _BALANCING, workers=1)
