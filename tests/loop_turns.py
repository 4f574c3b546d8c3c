"""Counts the turns of an event loop: long work must leave some to others.

With `TURN_SECONDS` set to 0 each step of such work is a turn: no test depends on how
fast the machine is.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Others:
    """Everybody else on the event loop: how often they have had their turn."""

    def __init__(self) -> None:
        self.turns = 0

    @contextmanager
    def having_turns(self) -> Iterator[None]:
        """Count as long as this is held."""
        loop, is_on = asyncio.get_running_loop(), True

        def have_one() -> None:
            self.turns += 1
            if is_on:
                loop.call_soon(have_one)

        have_one()
        try:
            yield
        finally:
            is_on = False
