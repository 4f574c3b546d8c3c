"""What the engine takes from all clients, from one connection and from one address."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from constellation_ws.messages.admission import Rate

_BURST_EVENTS = 8
"""Large events that one batch may bring for one client."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine takes, and how long it waits."""

    ping_interval_seconds: float
    ping_timeout_seconds: float
    connect_timeout_seconds: float
    """For the first message: a session without a namespace is of no use."""
    max_payload_bytes: int
    max_request_bytes: int
    """Of a Socket.IO packet with its attachments."""
    max_write_buffer_bytes: int
    """What may wait for one client for any length of time."""
    max_packets_per_heartbeat: int
    """What one connection may send between two of its heartbeats: packets and frames of any kind,
    each fragment of a message and each control frame included, large ones counted by their size."""
    max_connections: int
    max_connections_per_address: int
    """0 for as many as there may be."""
    connects: Rate
    max_event_bytes: int = 1_000_000
    """The largest event that there is."""
    max_session_sockets: int = sys.maxsize
    """Sockets of the port at which no new session is opened: a few are kept to answer probes."""
    max_sockets: int = sys.maxsize
    """Sockets of the port above which one has to go that waits without a request."""

    @property
    def max_burst_bytes(self) -> int:
        """What may wait for one client for a moment: some of the largest events besides."""
        return self.max_write_buffer_bytes + _BURST_EVENTS * self.max_event_bytes


class Sites:
    """How many sessions each site has; a site is what counts as one address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def is_full(self, site: str) -> bool:
        """Tell whether a site has as many sessions as it may."""
        return self._counts.get(site, 0) >= self._most

    def enter(self, site: str) -> None:
        """Count one session more."""
        self._counts[site] = self._counts.get(site, 0) + 1

    def leave(self, site: str) -> None:
        """Count one session less; a site without any is forgotten."""
        if self._counts[site] == 1:
            del self._counts[site]
        else:
            self._counts[site] -= 1

    def __len__(self) -> int:
        return len(self._counts)
