"""How a pod shows in Redis that it lives, and what it reads of the log."""

from __future__ import annotations

from typing import Any

from constellation_ws.redis_io.names import Names

LIFETIME_SECONDS = 20
"""How long a pod's users count as online after its last sign of life."""


class LifeSigns:
    """What one pod shows of itself."""

    def __init__(self, names: Names, instance: str, partitions: int) -> None:
        """The pod follows so many `partitions` of the log."""
        self._names, self._instance, self._partitions = names, instance, partitions

    def show(self, pipe: Any, now: float, lives_until: float) -> None:
        """Show that the pod lives, and what it reads: packed entries of the log, and partitions.

        A pod of an earlier release does not say the latter, and as long as it lives none are
        written. So it is said first, and holds for longer. Who does not say it follows one.
        """
        until = now + 3 * LIFETIME_SECONDS
        pipe.zadd(self._names.readers, {self._instance: until})
        if self._partitions > 1:
            pipe.zadd(self._names.followers, {f"{self._partitions} {self._instance}": until})
            pipe.zremrangebyscore(self._names.followers, "-inf", now)
        pipe.zadd(self._names.pods, {self._instance: lives_until})
