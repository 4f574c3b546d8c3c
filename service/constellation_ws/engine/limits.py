"""Limits of the engine: for all clients, for one connection and for one IP address."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from constellation_ws.messages.admission import Rate

_BURST_EVENTS = 8
"""Large events that one batch may contain for one client."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds and timeouts of the engine."""

    ping_interval_seconds: float
    ping_timeout_seconds: float
    connect_timeout_seconds: float
    """Until a client has connected to a namespace."""
    max_payload_bytes: int
    max_request_bytes: int
    """Of a Socket.IO packet with its attachments."""
    max_write_buffer_bytes: int
    """What may be buffered for one client for any length of time."""
    max_packets_per_ping_interval: int
    """What one connection may send between two pings: packets and frames of any kind, including
    fragments and control frames; large ones count by their size."""
    max_connections: int
    max_connections_per_address: int
    """0 for no limit."""
    connects: Rate
    max_event_bytes: int = 1_000_000
    """Size of the largest event."""
    max_session_sockets: int = sys.maxsize
    """Sockets of the port at which no new session is opened: the rest are for health checks."""
    max_sockets: int = sys.maxsize
    """Sockets of the port above which a connection that waits for a request is closed."""

    @property
    def max_burst_bytes(self) -> int:
        """What may be buffered for one client for a short time: also some of the largest events."""
        return self.max_write_buffer_bytes + _BURST_EVENTS * self.max_event_bytes


class Sites:
    """How many sessions each site has; a site is what counts as one IP address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def is_full(self, site: str) -> bool:
        """Return whether a site has as many sessions as it may."""
        return self._counts.get(site, 0) >= self._most

    def enter(self, site: str) -> None:
        """Count a session that was opened."""
        self._counts[site] = self._counts.get(site, 0) + 1

    def leave(self, site: str) -> None:
        """Count a session that was closed. A site without sessions takes no memory."""
        if self._counts[site] == 1:
            del self._counts[site]
        else:
            self._counts[site] -= 1

    def __len__(self) -> int:
        return len(self._counts)
