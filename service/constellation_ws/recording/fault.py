"""Whether received events can be recorded now, and why not: for readiness, metrics and the log."""

from __future__ import annotations

import time

import structlog

logger = structlog.get_logger(__name__)

_WARN_SECONDS = 30.0


class RecordingFault:
    """Why neither this pod nor the recorder can record, if so."""

    def __init__(self) -> None:
        self.reason = ""
        """Redis' error if there is one; empty if events can be recorded."""
        self.since: float | None = None
        """Monotonic time."""
        self._warned_at = 0.0

    def note(self, reason: str, unrecorded: int) -> None:
        """Note why so many events wait. Logged at once, then every 30 seconds."""
        now = time.monotonic()
        if self.since is None:
            self.since = now
        if reason != self.reason or now - self._warned_at > _WARN_SECONDS:
            self._warned_at = now
            logger.warning(
                "received events cannot be recorded now; they are retained",
                reason=reason,
                unrecorded=unrecorded,
            )
        self.reason = reason

    def end(self) -> None:
        """Note that they can be recorded."""
        if self.since is not None:
            logger.info("received events are recorded again")
        self.reason, self.since = "", None
