"""Whether so many events are recorded that a moment's wait for more of them is worth it. Pure.

Each append costs Redis some 0.1 ms and every pod a wake-up, however many events it has. In a loop
it is 0.05 ms: other work leaves cold caches.
"""

from __future__ import annotations

HIGH_PER_SECOND = 5_000
GATHER_SECONDS = 0.005
"""Between appends at a high rate. 3 ms bring about two thirds of what this brings; 8 ms bring
little more, and every event waits for them."""
_STEP_SECONDS = 0.1
"""Shorter, and a burst of some hundred events would be taken for a high rate."""
_LEAST_SHARE = 0.7
"""Of the rate before appends kept a distance."""
_REST_SECONDS = 10.0


class AppendRate:
    """How many events are appended; times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._count, self._since = 0, 0.0
        self._before = 0.0
        """The rate without a distance, while it is not known whether it has fallen with one."""
        self._rests_until = 0.0
        self.is_high = False
        """As of the last append. Whether appends should keep a distance."""

    def note(self, count: int, now_seconds: float) -> None:
        """Note how many events were appended now."""
        self._count += count
        elapsed = now_seconds - self._since
        if elapsed >= _STEP_SECONDS:
            self._judge(self._count / elapsed, now_seconds)
            self._count, self._since = 0, now_seconds

    def _judge(self, per_second: float, now_seconds: float) -> None:
        """Publishers that wait until events are delivered publish less where these wait.

        For them nothing is gained: not again for a while.
        """
        if self.is_high and per_second < self._before * _LEAST_SHARE:
            self._rests_until = now_seconds + _REST_SECONDS
        was_high = self.is_high
        self.is_high = per_second >= HIGH_PER_SECOND and now_seconds >= self._rests_until
        self._before = per_second if self.is_high and not was_high else 0.0
