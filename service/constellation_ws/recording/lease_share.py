"""How the leases of all partitions' recorders spread over the pods. Pure.

No pod appoints another. One that holds leases already lets others ask first for a free one, and one
that holds more than its share gives one up, now and then.
"""

from __future__ import annotations

import math

from constellation_ws.delivery.partitioning import Partitioning

_STEP_SECONDS = 0.1
"""How much later a pod asks for each lease that it holds."""
_MOST_STEPS = 3
_ABOVE_SECONDS = 0.5
"""How much later if it holds its share already: all others have asked by then."""
MOST_WAIT_SECONDS = _MOST_STEPS * _STEP_SECONDS + _ABOVE_SECONDS
_SETTLE_SECONDS = 3.0
"""After a pod has come or gone, or a lease was given up: by then a pod that has begun to listen
knows that it lacks nothing, and all have learned of each other."""


class LeaseShare:
    """The leases that one pod holds, and how many it should hold."""

    def __init__(self, partitioning: Partitioning) -> None:
        self._partitioning = partitioning
        self._held = set[int]()
        self._pods = 1
        self._changed_at = -math.inf

    @property
    def fair(self) -> int:
        """How many leases each pod holds at most where they are spread."""
        return math.ceil(self._partitioning.width / self._pods)

    def note_pods(self, listening: int, now: float) -> None:
        """Note how many pods listen, this one among them; times are monotonic, in seconds."""
        if listening != self._pods:
            self._pods, self._changed_at = max(1, listening), now

    def begin(self, partition: int) -> None:
        """Note that this pod holds the lease of a partition."""
        self._held.add(partition)

    def end(self, partition: int) -> None:
        """Note that it does not."""
        self._held.discard(partition)

    def wait_seconds(self) -> float:
        """Return for how long a lease has to be free before this pod asks for it."""
        if self._partitioning.width == 1:
            return 0.0
        held = len(self._held)
        above = _ABOVE_SECONDS if held >= self.fair else 0.0
        return min(held, _MOST_STEPS) * _STEP_SECONDS + above

    def gives_up(self, partition: int, now: float) -> bool:
        """Decide whether this pod gives up the lease of this partition now; others may take it."""
        is_settled = now - self._changed_at >= _SETTLE_SECONDS
        if not is_settled or len(self._held) <= self.fair or partition != max(self._held):
            return False
        self._changed_at = now
        return True
