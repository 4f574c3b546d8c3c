"""A part of the event loop's time, and when somebody who used more may go on. Pure: times are
arguments.

What was used is repaid at the rate of the part. So one number, the time from which more may be
used, is all that each of many thousand connections has to keep.
"""

from __future__ import annotations

_MOST_CHARGED_SECONDS = 0.002
"""Charged for one use at most. What takes longer was paused by the machine, and connections should
not pay for that."""


class Share:
    """How much of the time somebody may use."""

    __slots__ = ("_ahead_seconds", "_repay_factor")

    def __init__(self, *, part: float, burst_seconds: float) -> None:
        """`part` is of the time in the long run; a burst may be used at once after a rest."""
        self._repay_factor = 1 / part
        self._ahead_seconds = burst_seconds / part

    def free_at(self, before: float, began: float, ended: float) -> float:
        """Return from when on more may be used after another use; `before` is what it was. It is
        in the past while the burst is not used up."""
        used = min(ended - began, _MOST_CHARGED_SECONDS)
        return max(before, began - self._ahead_seconds) + used * self._repay_factor


PER_CONNECTION = Share(part=0.05, burst_seconds=0.005)
"""For reading one connection. A message of a megabyte takes 5 ms, and the requests that the limits
permit to a client take less than 1 %; a flood of tiny frames would take all."""
AT_ONCE = Share(part=0.5, burst_seconds=0.00025)
"""For all small reads that do not wait for a turn, so that a thousand connections that each send
a little do not hold the loop together."""

SLICE_SECONDS = 0.0005
"""What all that waits for a turn may use of one turn of the loop..."""
_MOST_SLICE_SECONDS = 0.005
_PART_OF_TURN = 0.25


def slice_seconds(others_seconds: float) -> float:
    """Return how long the work that waits may run in this turn.

    Events wait for it up to three times on their way, so it is short. Where turns are long it gets
    a fifth of the time, as otherwise it would never end.
    """
    return min(max(SLICE_SECONDS, others_seconds * _PART_OF_TURN), _MOST_SLICE_SECONDS)
