"""How long one piece of work may hold the event loop: long work is cut into turns.

Everything else in the process waits meanwhile: other clients, Redis, the probes.
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
        """Whether others should have their turn."""
        return time.monotonic() >= self._until


async def paced(things: Iterable[Thing]) -> AsyncIterator[Thing]:
    """Give one thing after another; between two of them others may have their turn."""
    turn = Turn()
    for thing in things:
        yield thing
        if turn.is_over:
            await asyncio.sleep(0)
            turn = Turn()
