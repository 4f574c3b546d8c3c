"""What the recorder appends next: received messages, in order, one append at a time."""

from __future__ import annotations

import asyncio
import time

from constellation_ws.log.appender import Appender
from constellation_ws.log.pubsub_positions import Received
from constellation_ws.log.rate import AppendRate
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recording.batching import Batching

_MAX_MESSAGES = 500
_MAX_BYTES = 256 * 1024
"""In one append, which may become one entry of the log: pods read several entries at once."""
_MAX_UNANSWERED = 1


class AppendQueue:
    """Appends what was received, as fast as Redis answers; the rest stays retained."""

    def __init__(self, unrecorded: Unrecorded, metrics: Metrics, rate: AppendRate) -> None:
        self._unrecorded = unrecorded
        self._metrics = metrics
        self._batching = Batching(rate)
        self._appender: Appender | None = None
        """None while this pod does not record."""
        self._sent = 0
        """Number of the first message that was not sent to the log yet."""
        self._gathering: asyncio.TimerHandle | None = None

    @property
    def is_packing(self) -> bool:
        """Whether this pod records, and what it appends together is one entry."""
        return self._appender is not None and self._appender.may_pack

    def begin(self, appender: Appender) -> None:
        """Append all that is not recorded yet, and from now on what is received."""
        self._sent = self._unrecorded.begin
        self._appender = appender
        self._append_now(appender)

    def end(self) -> None:
        """Append nothing any more."""
        self._appender = None

    def append_soon(self) -> None:
        """Append what is new: now, or a moment later together with more."""
        appender = self._appender
        if appender is None or appender.unanswered >= _MAX_UNANSWERED:
            return
        waiting = self._unrecorded.end - max(self._sent, self._unrecorded.begin)
        if not waiting:
            return
        # Not the loop's time: uvloop's stands still while a batch is written to the sockets. So the
        # timer gets a time as well: a delay would count from before the batch, and end early.
        due_at = self._batching.due_at(waiting)
        if due_at <= time.monotonic():
            self._append_now(appender)
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_at(
                due_at, self._append_gathered, appender
            )

    def _append_gathered(self, appender: Appender) -> None:
        self._gathering = None
        if appender is self._appender:
            self._append_now(appender)

    def _append_now(self, appender: Appender) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if appender.unanswered >= _MAX_UNANSWERED:
            return
        self._sent = max(self._sent, self._unrecorded.begin)
        fresh = _first_of(self._unrecorded.since(self._sent, _MAX_MESSAGES))
        if not fresh:
            return
        self._sent += len(fresh)
        self._batching.appended(len(fresh), self._unrecorded.end - self._sent, time.monotonic())
        self._append(appender, fresh, self._sent)

    def _append(self, appender: Appender, fresh: list[Received], until: int) -> None:
        def note_recorded(entries: int) -> None:
            self._metrics.recorded.inc(len(fresh))
            self._metrics.recorded_entries.inc(entries)
            self._unrecorded.confirm(until)
            self._batching.answered(time.monotonic())
            if appender is self._appender:
                self.append_soon()

        appender.append(fresh, note_recorded)


def _first_of(received: list[Received]) -> list[Received]:
    """Return as many as one append may have; a larger message is one alone."""
    size = 0
    for place, one in enumerate(received):
        size += len(one.payload)
        if size > _MAX_BYTES and place > 0:
            return received[:place]
    return received
