"""When a pod should get no new clients: before the kernel or the kubelet kills it.

Pure: measurements and times are arguments. `pressure` measures.
"""

from __future__ import annotations

from collections import deque
from statistics import median

LATE_SECONDS = 0.5
"""A loop that is so late is overloaded..."""
IN_TIME_SECONDS = 0.1
"""...until it is only so late. In between nothing changes, so that readiness does not flap."""
LAG_WINDOW_SECONDS = 5.0
"""For so long the loop must have been late most of the time. One pause is not overload."""
_LEAST_SAMPLES = 3
FULL = 0.9
"""The part of the container's memory at which new clients are refused..."""
ROOMY = 0.8
"""...until it has fallen to this part."""


class Overload:
    """The latest measurements, and whether they mean overload."""

    def __init__(self) -> None:
        self._lags: deque[tuple[float, float]] = deque()
        self._late_lags = 0
        """How many of them are late."""
        self._late: str | None = None
        self._full: str | None = None

    @property
    def reason(self) -> str | None:
        """Why new clients are refused; None if they are not."""
        return self._full or self._late

    def is_on(self) -> bool:
        """Return whether new clients are refused."""
        return self.reason is not None

    def note_lag(self, seconds: float, now_seconds: float) -> None:
        """Note how late the event loop was."""
        lags = self._lags
        lags.append((now_seconds, seconds))
        self._late_lags += seconds >= LATE_SECONDS
        began = lags[0][0]
        while lags[0][0] < now_seconds - LAG_WINDOW_SECONDS:
            self._late_lags -= lags.popleft()[1] >= LATE_SECONDS
        if self._late is None and 2 * self._late_lags < len(lags):
            return  # nor is the median late: it costs more than all else here
        if now_seconds - began < LAG_WINDOW_SECONDS or len(lags) < _LEAST_SAMPLES:
            return
        usual = median(lag for _, lag in lags)
        if usual >= LATE_SECONDS:
            self._late = f"the event loop is {usual:.1f} s late"
        elif usual <= IN_TIME_SECONDS:
            self._late = None

    def note_memory(self, used_bytes: int, limit_bytes: int) -> None:
        """Note how much of its memory the container uses."""
        part = used_bytes / limit_bytes
        if part >= FULL:
            self._full = f"{part:.0%} of the container's memory is in use"
        elif part <= ROOMY:
            self._full = None
