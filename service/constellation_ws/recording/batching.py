"""When the recorder appends received messages: at once, or a moment later together with more.

Pure. Each append costs Redis a script and every pod a wake-up, whatever its size. Messages that
arrive right after a delivery are seldom alone, since clients respond to what they were sent. When
as many have arrived as usual, the append does not wait. At a high rate of events (`log/rate`)
appends keep a distance instead, unless they are behind.
"""

from __future__ import annotations

from constellation_ws.log import rate
from constellation_ws.log.rate import AppendRate

GATHER_SECONDS = 0.001
"""Without it two halves of a burst alternate for ever: 5 of 8 events leave in one write, not 8."""
_RETAINED = 127 / 128
"""Of what is usual, from one append to the next. With 7/8 an even stream of events is cut into ever
smaller appends: 0.76x the deliveries a CPU-second."""


class Batching:
    """Decides for one recording after the other; times are monotonic, in seconds."""

    def __init__(self, events: AppendRate) -> None:
        self._rate = events
        self._answered_at = self._appended_at = 0.0
        self._is_behind = False
        """Whether the last append could not hold all that was there."""
        self._usual = 0.0
        """How many have lately come together, the most of them; slowly forgotten."""

    def answered(self, now_seconds: float) -> None:
        """Note that an append was answered, and that what it brought is delivered."""
        self._answered_at = now_seconds

    def appended(self, count: int, left: int, now_seconds: float) -> None:
        """Note how many left together, and how many did not fit."""
        self._usual = max(count, self._usual * _RETAINED)
        self._appended_at, self._is_behind = now_seconds, left > 0
        self._rate.note(count, now_seconds)

    def due_at(self, waiting: int) -> float:
        """Return when so many should be appended; a time that has passed means now."""
        if self._rate.is_high:
            return 0.0 if self._is_behind else self._appended_at + rate.GATHER_SECONDS
        return 0.0 if waiting >= self._usual else self._answered_at + GATHER_SECONDS
