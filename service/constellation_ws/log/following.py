"""Whether this pod follows the log now; it logs and counts when that changes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

import structlog

from constellation_ws.log.ids import LogId, format_id
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import backoff_seconds

logger = structlog.get_logger(__name__)


class Following:
    """The state of the connection that reads the log. `RedisLog` opens it."""

    def __init__(self, metrics: Metrics, shown: Mapping[str, int]) -> None:
        """`shown` is what log lines say of the partition."""
        self._metrics = metrics
        self._logger = logger.bind(**shown)
        self._attempts = 0
        self.disconnected_at: float | None = time.monotonic()
        """Monotonic time since which the tail is not followed; None while it is."""
        self.has_begun = False

    def begin(self, delivered: LogId) -> None:
        """Note that Redis has answered; this entry is the last that was delivered."""
        if self.disconnected_at is not None and self.has_begun:
            self._logger.info("following the log again", after=format_id(delivered).decode())
        self.disconnected_at, self.has_begun, self._attempts = None, True, 0

    def end(self, reason: str, error: str) -> None:
        """Note that the connection is lost; `reason` is the metric's word, `error` is for people.

        An outage is logged once, except before this pod has followed for the first time.
        """
        self._metrics.redis_reconnects.labels(f"log {reason}").inc()
        if self.disconnected_at is None or not self.has_begun:
            self._logger.warning(
                "the log cannot be followed, trying again", reason=reason, error=error
            )
        if self.disconnected_at is None:
            self.disconnected_at = time.monotonic()

    def next_pause(self) -> float:
        """Return after how many seconds to try again, longer each time."""
        self._attempts += 1
        return backoff_seconds(self._attempts, random.random())
