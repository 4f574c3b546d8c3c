"""Failures that repeat: each is counted, and logged at once, then now and then, until they end."""

from __future__ import annotations

import time

import structlog
from prometheus_client import Counter

logger = structlog.get_logger(__name__)

_WARN_SECONDS = 30.0


class Trouble:
    """One thing that fails or does not."""

    def __init__(self, failures: Counter, failing: str, working: str) -> None:
        """`failing` and `working` are the lines of the log."""
        self._failures = failures
        self._failing, self._working = failing, working
        self._reason: str | None = None
        self._warned_at = 0.0

    def note(self, kind: str, reason: str) -> None:
        """Note a failure: its kind for the metric, in few words, and all that is known of it."""
        self._failures.labels(kind).inc()
        now = time.monotonic()
        if self._reason is None or now - self._warned_at > _WARN_SECONDS:
            self._warned_at = now
            logger.warning(self._failing, reason=reason)
        self._reason = reason

    def end(self) -> None:
        """Note that it works."""
        if self._reason is not None:
            logger.info(self._working)
        self._reason = None
