"""How long events take from their publisher to the sockets, told in bulk after each batch."""

from __future__ import annotations

import time
from collections.abc import Mapping

from service.metrics import Metrics


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

    def end(self) -> None:
        """Take note that all of the batch has been written."""
        log_ids = self._log_ids
        if not log_ids:
            return
        seconds, now = time.perf_counter() - self._begun, time.time()
        self._write_duration.add(seconds)
        if log_ids[0]:
            for log_id in log_ids:
                self._publish_to_write.add(now - _entered(log_id))
        else:
            self._publish_to_write.add(seconds, len(log_ids))
        log_ids.clear()
        if self._traced is not None:
            (trace, log_id), self._traced = self._traced, None
            self._write_duration.show(seconds, trace, now)
            waited = now - _entered(log_id) if log_id else seconds
            self._publish_to_write.show(waited, trace, now)


def _entered(log_id: bytes) -> float:
    """Give the Unix time at which Redis took an entry, from the milliseconds of its ID."""
    return int(log_id.partition(b"-")[0]) / 1000
