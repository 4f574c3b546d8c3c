"""A part of the time, and when somebody who used more may go on. Pure: times are arguments.

What was used is repaid at the rate of the part. So one number, the time from which more may be
used, is all that each of many thousand connections has to keep.
"""

from __future__ import annotations


class Share:
    """How much of the time somebody may use."""

    __slots__ = ("_ahead_seconds", "_most_charged_seconds", "_repay_factor")

    def __init__(
        self, *, part: float, burst_seconds: float, most_charged_seconds: float = 0.002
    ) -> None:
        """`part` is of the time in the long run; a burst may be used at once after a rest. One use
        is charged for `most_charged_seconds` at most: what takes longer was paused by the machine.
        """
        self._most_charged_seconds = most_charged_seconds
        self._repay_factor = 1 / part
        self._ahead_seconds = burst_seconds / part

    def free_at(self, before: float, began: float, ended: float) -> float:
        """Return from when on more may be used after another use; `before` is what it was. It is
        in the past while the burst is not used up."""
        used = min(ended - began, self._most_charged_seconds)
        return max(before, began - self._ahead_seconds) + used * self._repay_factor
