"""Holes of this pod's subscription that the log has passed: was all of them recorded?

Pure. Redis counted this pod as a receiver of what a lossy hole lacks. A recorder that was
subscribed meanwhile has recorded it. One that was not, such as a new pod, has appended what came
after it, and then it is lost. Redis counts such late recorders; if their number has not changed
since before the hole, nothing of it is missing in the log.
"""

from __future__ import annotations

from collections.abc import Iterable

from constellation_ws.log.pubsub_positions import Hole


class FilledHoles:
    """The lossy holes that the log has passed, and that were not judged yet."""

    def __init__(self) -> None:
        self.late = 0
        """How many late recorders there had been, in the last answer of Redis."""
        self._new: list[Hole] = []
        self._asked: list[Hole] = []
        """Of those in `_asked` the log had passed the end before Redis was asked."""

    def add(self, holes: Iterable[Hole]) -> None:
        """Add holes that the log has passed."""
        self._new += holes

    def ask(self) -> None:
        """Note that Redis is asked now."""
        self._asked += self._new
        self._new = []

    def answer(self, late: int) -> bool:
        """Judge those of before the question; return whether something of them may be lost."""
        self.late = late
        asked, self._asked = self._asked, []
        return any(one.late != late for one in asked)

    def clear(self) -> None:
        """Forget all: what is lost of them was reported."""
        self._new, self._asked = [], []

    def begin_epoch(self, began: float) -> None:
        """Forget those that ended before this monotonic time: what is lost of them is reported."""
        self._new = [one for one in self._new if one.noted_at > began]
        self._asked = [one for one in self._asked if one.noted_at > began]
