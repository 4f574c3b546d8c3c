"""How many partitions of the log are in use: what Redis says, and from where in the stream on.

The number is in Redis, and it only rises. But pods must divide the same messages among the
same partitions, or they would not mean the same message by one position. So it changes at one place
of the Pub/Sub stream for all of them: the ticks of the first partition's recorder say among how
many the messages before them are divided, and those behind them.

A tick ends with `/3`, or with `/1>3` where the number changes there. Other ticks, such as that with
which a subscription begins, say nothing. Where a pod has several partitions and its subscription
has just begun, it does not know the number (see `intake`).
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from constellation_ws.delivery.partitioning import Partitioning

_MARK = re.compile(rb"/(\d{1,2})(?:>(\d{1,2}))?\Z")


class TooFewPartitions(RuntimeError):
    """This pod follows fewer partitions than are in use: its clients would miss events."""

    def __init__(self, follows: int, used: int) -> None:
        super().__init__(
            f"CONSTELLATION_LOG_PARTITIONS is {follows}, but the log of this deployment has {used} "
            f"partitions: set it to {used} or more, on all pods"
        )


class Mark(NamedTuple):
    """What a tick of a recorder says."""

    before: int
    """Among how many partitions the messages before it are divided."""
    after: int


class Width:
    """What this pod knows of the number of partitions."""

    def __init__(self, partitioning: Partitioning, most: int) -> None:
        """This pod follows `most` partitions."""
        self.partitioning = partitioning
        self.most = most
        self.known = 1
        """In Redis, as far as is known here."""
        self.admitted = asyncio.Event()
        """Set once Redis has said for the first time that this pod follows enough partitions."""

    @property
    def current(self) -> int:
        """Among how many partitions what this pod receives is divided."""
        return self.partitioning.width

    @property
    def is_fixed(self) -> bool:
        """Whether there can only be one."""
        return self.most == 1

    def note(self, partitions: int) -> None:
        """Note how many Redis says are in use. Raises TooFewPartitions."""
        if partitions > self.most:
            raise TooFewPartitions(self.most, partitions)
        self.known = max(self.known, partitions)
        self.admitted.set()

    def mark(self) -> bytes:
        """Return what the tick of a recorder ends with; nothing where there is one for certain."""
        if self.is_fixed:
            return b""
        if self.current >= self.known:
            return b"/%d" % self.current
        return b"/%d>%d" % (self.current, self.known)


def read_mark(tick: bytes) -> Mark | None:
    """Read what a tick says; None where it says nothing."""
    found = _MARK.search(tick)
    if found is None:
        return None
    before = int(found[1])
    return Mark(before, before if found[2] is None else int(found[2]))
