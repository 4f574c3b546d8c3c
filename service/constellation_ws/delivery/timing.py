"""How long events take from their publisher to the sockets, told in bulk after each batch."""

from __future__ import annotations

import time
from collections.abc import Mapping

from constellation_ws.observability.metrics import Metrics

_MILLISECONDS_DIGITS = 13
"""Of a log ID, until the year 2286: entries of one millisecond begin alike."""


class Timing:
    """Times one batch after the other: `begin`, `count` for each event that goes out, `end`."""

    def __init__(self, metrics: Metrics) -> None:
        self._publish_to_write = metrics.publish_to_write
        self._write_duration = metrics.write_duration
        self._log_ids: list[bytes] = []
        self._traced: tuple[Mapping[str, str], bytes] | None = None
        self._begun = 0.0
        self.count = self._log_ids.append
        """Called with the log ID of each event that has a recipient; empty without a log."""

    def begin(self) -> None:
        """Take note that a batch has been read."""
        self._begun = time.perf_counter()

    def trace(self, ids: Mapping[str, str], log_id: bytes) -> None:
        """Let the batch's times name the trace of one of its events; the last one stays."""
        self._traced = {"trace_id": ids["trace_id"]}, log_id

    def end(self, newest: bytes, age_seconds: float) -> None:
        """Take note that all of the batch has been written.

        `newest` is its last log ID, and `age_seconds` how old that was when the batch was read.
        """
        log_ids = self._log_ids
        if not log_ids:
            return
        seconds = time.perf_counter() - self._begun
        self._write_duration.add(seconds)
        waited = age_seconds + seconds
        if log_ids[0][:_MILLISECONDS_DIGITS] == newest[:_MILLISECONDS_DIGITS]:
            self._publish_to_write.add(waited, len(log_ids))
        else:
            self._count_waits(newest, waited)
        if self._traced is not None:
            (trace, log_id), self._traced = self._traced, None
            now, waited = time.time(), waited + _seconds_between(log_id, newest)
            self._write_duration.show(seconds, trace, now)
            self._publish_to_write.show(waited, trace, now)
        log_ids.clear()

    def _count_waits(self, newest: bytes, least: float) -> None:
        """Count the events by how long they waited; nearly always that is one bucket's business."""
        log_ids, waits = self._log_ids, self._publish_to_write
        most = least + _seconds_between(log_ids[0], newest)
        if not waits.add_between(least, most, len(log_ids)):
            for log_id in log_ids:
                waits.add(least + _seconds_between(log_id, newest))


def _seconds_between(earlier: bytes, later: bytes) -> float:
    """Tell how much later Redis took an entry than another, from the milliseconds of their IDs."""
    if earlier == later:
        return 0.0
    return (int(later.partition(b"-")[0]) - int(earlier.partition(b"-")[0])) / 1000
