"""Turns of the event loop: long work is cut into pieces, and other tasks run between them.

While one piece runs everything else waits: other clients, Redis, probes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

TURN_SECONDS = 0.005
"""A quarter of what a callback may take at most: what one step starts may take as long again."""

Thing = TypeVar("Thing")


class Turn:
    """One turn of the event loop, from when it is made."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.monotonic() + TURN_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether other tasks should run now."""
        return time.monotonic() >= self._until


async def paced(things: Iterable[Thing]) -> AsyncIterator[Thing]:
    """Yield one thing after another; other tasks may run between two of them."""
    turn = Turn()
    for thing in things:
        yield thing
        if turn.is_over:
            await asyncio.sleep(0)
            turn = Turn()
