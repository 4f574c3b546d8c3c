"""When messages were received, as far as it was noted from time to time. Pure."""

from __future__ import annotations

from collections import deque

_MOST = 1_000
"""Some minutes. What is older concerns no epoch of which a pod learns now."""


class ReceiptTimes:
    """Numbers of messages at moments of the past."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque(maxlen=_MOST)

    def note(self, now: float, end: int) -> None:
        """Note that the next message will get this number; `now` is monotonic, in seconds."""
        if not self._noted or self._noted[-1][1] != end:
            self._noted.append((now, end))
        else:
            self._noted[-1] = now, end

    def received_before(self, moment: float) -> int:
        """Return up to which number all messages were received before a moment for certain."""
        return max((number for now, number in self._noted if now <= moment), default=0)

    def received_after(self, moment: float, end: int) -> int:
        """Return from which number on all messages were received after a moment for certain.

        `end` is the number of the next one.
        """
        for now, number in self._noted:
            if now >= moment:
                return number
        return end
