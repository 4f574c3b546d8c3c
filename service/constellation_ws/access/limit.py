"""How many calls to the API may run at a time. Pure.

Small APIs (a pool of thirty workers) answer none in time when hundreds of calls reach them at once.
A slow one whose answers take a third of a second each serves a storm in time only if hundreds do.
Which of both it is shows in how long answers take while calls are added.
"""

from __future__ import annotations

LEAST_CALLS = 16
FIRST_CALLS = 64
MOST_CALLS = 256
"""Each is a connection of its own where the API is asked over HTTP."""
ENOUGH_PER_SECOND = 1_000
"""Above this rate no calls are added: more should not be asked of an API by one pod."""


class CallLimit:
    """The limit of one API: rises while answers come soon, falls when they hardly come in time."""

    def __init__(self, timeout_seconds: float) -> None:
        # Twice as many calls as now would still be answered within half of the timeout.
        self._soon_seconds = timeout_seconds / 4
        self._late_seconds = timeout_seconds / 2
        self._fell_at = float("-inf")
        self.calls = FIRST_CALLS

    def answered(self, started: float, now: float, *, others_wait: bool) -> None:
        """Note that a call was answered, and whether others waited for one meanwhile."""
        seconds = now - started
        is_needed = self.calls < max(FIRST_CALLS, ENOUGH_PER_SECOND * seconds)
        if others_wait and is_needed and seconds <= self._soon_seconds:
            self.calls = min(self.calls + 1, MOST_CALLS)
        elif seconds > self._late_seconds and self.calls > FIRST_CALLS:
            self._fall(FIRST_CALLS, started, now)

    def timed_out(self, started: float, now: float) -> None:
        """Note that a call was not answered in time."""
        self._fall(LEAST_CALLS, started, now)

    def _fall(self, least: int, started: float, now: float) -> None:
        # Once for all calls that ran at the same time: they have met the same congestion.
        if started >= self._fell_at:
            self.calls, self._fell_at = max(self.calls * 3 // 4, least), now
