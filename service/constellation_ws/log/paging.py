"""How many entries of the log are asked for at once. Pure.

Redis counts entries, and one may hold hundreds of messages. What one reply brings is handled in one
turn of the event loop, so a pod that has fallen behind must not ask for too many.
"""

from __future__ import annotations

_FIRST_ENTRIES = 16
_MAX_MESSAGES = 1_000
"""More in one reply would hold up everything else."""


class PageSize:
    """The number of entries to ask for next, as the last reply suggests."""

    def __init__(self) -> None:
        self.entries = _FIRST_ENTRIES

    def note(self, entries: int, messages: int) -> bool:
        """Note what came; return whether the log held no more."""
        if entries < self.entries:
            self.entries = _FIRST_ENTRIES
            return True
        # None, where all of them were delivered from the reply to an append.
        fitting = entries * _MAX_MESSAGES // max(1, messages)
        self.entries = max(1, min(2 * self.entries, fitting))
        return False
