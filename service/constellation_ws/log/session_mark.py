"""Whether Redis still has the sessions that this pod has written.

A Redis that restarts or fails over may come back without its last writes. If entries of the log are
among them, that shows in the log. In a quiet deployment there may be none: a client whose join was
acknowledged would be resumed without its room, and nobody would know. So this pod writes a number
that rises behind the sessions that it writes, and each look at the log compares it.
"""

from __future__ import annotations


class SessionMark:
    """The number of this pod's last write of sessions that Redis has confirmed."""

    def __init__(self, instance: str) -> None:
        """`instance` is this process's own."""
        self.field = f"sessions {instance}"
        """Where it is in the log's state."""
        self.confirmed = 0
        """What Redis must have, or a higher one."""
        self._last = 0

    def next(self) -> int:
        """Give the number of the next write."""
        self._last += 1
        return self._last

    def confirm(self, number: int) -> None:
        """Note that Redis has this write, and all before it."""
        self.confirmed = number

    def forget(self) -> None:
        """Note that the sessions of before are not recovered in any case: the epoch has ended."""
        self.confirmed = 0
