"""Open files: how many the process may have, and how they are shared.

A socket is a file. If no more can be opened, libuv accepts connections and closes them at once: new
clients are reset and probes get no response. So the number of sessions is bounded below the limit.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

import structlog

logger = structlog.get_logger(__name__)

OWN_FILES = 512
"""What a process keeps for itself, or a quarter where there is less: listening sockets, the event
loop, logs, and the pools of connections to Redis and to the API, of a hundred each. Idle it has
some 25."""
_ANSWERS = 64
"""Sockets that no session gets: they answer probes, and clients that are refused."""
_SERVICES_PART = 8
"""Where files are scarce each port of services gets one part of so many."""
_PLENTY = 10_000_000
"""Used for a limit that is infinite."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many files each port may use."""

    limit: int
    """What the process may have."""
    sessions: int
    """Sockets of the HTTP port at which no new session is admitted."""
    http: int
    """Sockets of the HTTP port at which a connection that waits without a request is closed."""
    tcp: int
    """Sockets of the TCP port."""
    api: int
    """Sockets of the HTTP API."""

    def suffices_for(self, connections: int) -> bool:
        """Return whether the limit leaves room for so many connections."""
        return self.sessions >= connections


def share(limit: int, tcp_wanted: int, api_wanted: int = 0) -> Shares:
    """Divide a limit among the ports."""
    left = max(limit - min(OWN_FILES, limit // 4), 16)
    tcp = min(tcp_wanted, left // _SERVICES_PART)
    api = min(api_wanted, left // _SERVICES_PART)
    http = left - tcp - api
    return Shares(limit, http - min(_ANSWERS, http // 4), http, tcp, api)


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard limit; return it.

    What containers get by default, 1,024, is a soft limit for programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS: infinity is more than the kernel allows
            logger.debug(
                "the limit of open files cannot be raised", soft=soft, hard=hard, reason=str(error)
            )
    return limit()


def limit() -> int:
    """Return how many files the process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else _PLENTY


def warn_of_shortage(shares: Shares, connections: int) -> None:
    """Log where the limit, and not the settings, bounds how many clients may connect."""
    if not shares.suffices_for(connections):
        logger.warning(
            "the limit of open files is too low for the maximum connections",
            limit=shares.limit,
            connections=shares.sessions,
            wanted=connections,
            remedy="raise the hard limit (ulimit -Hn), or lower CONSTELLATION_MAX_CONNECTIONS",
        )
