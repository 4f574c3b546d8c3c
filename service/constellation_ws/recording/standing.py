"""Whether a pod listens, as Redis answers; and what it may still owe.

Pure.

| the pod | Redis answers | then it |
| --- | --- | --- |
| LISTENS | REFUSED: enough others do | LOOKS: it stops |
| LOOKS | LACKING: too few do | WANTS |
| WANTS | HELD: it has a seat | LISTENS: it begins |
| WANTS | REFUSED | LOOKS |

Two answers are needed to begin: after Redis was away all seats have expired, and their pods claim
them again before the second. What leaves or has left does not change any more.
"""

from __future__ import annotations

from constellation_ws.log.seats import Seat, Stand

_NEXT = {
    (Stand.LISTENS, Seat.REFUSED): Stand.LOOKS,
    (Stand.LOOKS, Seat.LACKING): Stand.WANTS,
    (Stand.WANTS, Seat.HELD): Stand.LISTENS,
    (Stand.WANTS, Seat.REFUSED): Stand.LOOKS,
}


def next_stand(stand: Stand, seat: Seat) -> Stand:
    """Return what a pod is after an answer."""
    return _NEXT.get((stand, seat), stand)


class Debts:
    """Of how many late recorders a pod knows that nothing that it had received before is lost.

    A late recorder has not been subscribed all the time since the one before, so the log may pass
    over what this pod has received. The pod finds that out when it sees the log go past it. If it
    dies before, nobody does, and another pod has to report the loss.
    """

    def __init__(self) -> None:
        self.late = 0
        """How many there have been."""
        self._resolved = 0
        self._end = 0
        """All received when the last of them was learned of has smaller numbers."""

    def note(self, late: int, end: int) -> None:
        """Note how many there are; the next message that is received gets the number `end`."""
        if late != self.late:
            self.late, self._end = late, end

    def resolved(self, begin: int) -> int:
        """Return how many are resolved; `begin` is the oldest message that the log lacks."""
        if begin >= self._end:
            self._resolved = self.late
        return self._resolved
