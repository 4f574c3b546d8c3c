"""Exits the process at a deadline, whatever still waits then.

Timeouts of the event loop are not enough for that: a library may swallow a cancellation, a thread
may hang in a DNS lookup, and the interpreter joins its threads when it exits.
"""

from __future__ import annotations

import os
import threading

import structlog

logger = structlog.get_logger(__name__)


class LastResort:
    """Ends the process with an exit code unless it has ended by itself in time."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def end_in(self, seconds: float, code: int, reason: str) -> None:
        """Exit in so many seconds with this code; replaces an earlier call."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, _end, (code, reason))
        self._timer.daemon = True
        self._timer.start()


def _end(code: int, reason: str) -> None:
    logger.error("forced exit", reason=reason, exit_code=code)
    os._exit(code)
