"""Slow consumers: clients that receive more slowly than they are sent, and when they are aborted.

More than `max_write_buffer_bytes` may be buffered for a client for a short time, up to a bound: a
large event, or several in one batch, must not abort a client that reads at the speed of its
network. Only clients above `max_write_buffer_bytes` are watched; the others cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from constellation_ws.engine.deadlines import Deadlines
from constellation_ws.engine.limits import EngineLimits

GRACE_SECONDS = 10.0
"""Time in which a watched client must have received a minimum."""
_LEAST_PART = 8
"""The minimum is this part of `max_write_buffer_bytes`: 100 kbit/s by default."""


class Strain:
    """Bytes that are buffered for a watched client, and that were added since the last look."""

    __slots__ = ("added", "waiting")

    def __init__(self, waiting_bytes: int) -> None:
        self.waiting = waiting_bytes
        self.added = 0

    def taken(self, waiting_bytes: int) -> int:
        """Return how much the client has received since the last look; this is the next look."""
        taken = self.waiting + self.added - waiting_bytes
        self.waiting, self.added = waiting_bytes, 0
        return taken


class Client(Hashable, Protocol):
    """What is watched: a session."""

    strain: Strain | None

    @property
    def waiting_bytes(self) -> int:
        """How much is buffered for it."""


Watched = TypeVar("Watched", bound=Client)


class SlowConsumers(Generic[Watched]):
    """The sessions for which more than `max_write_buffer_bytes` is buffered."""

    def __init__(self, limits: EngineLimits, abort: Callable[[Watched], None]) -> None:
        self._max_bytes = limits.max_burst_bytes
        self._much_bytes = limits.max_write_buffer_bytes
        self._least_bytes = limits.max_write_buffer_bytes // _LEAST_PART
        self._abort = abort
        self._deadlines: Deadlines[Watched] = Deadlines(GRACE_SECONDS)

    def __len__(self) -> int:
        return len(self._deadlines)

    def note(self, session: Watched, added_bytes: int) -> None:
        """Watch a session after so much was buffered for it; abort it above the bound."""
        waiting = session.waiting_bytes
        if waiting > self._max_bytes:
            self._abort(session)
        elif session.strain is None:
            session.strain = Strain(waiting)
            self._deadlines.add(session, time.monotonic())
        else:
            session.strain.added += added_bytes

    def release(self, session: Watched) -> None:
        """Do not watch a session any more."""
        if session.strain is not None:
            session.strain = None
            self._deadlines.remove(session)

    def advance(self, now_seconds: float) -> Iterator[None]:
        """Abort those that have received less than the minimum, one at each step."""
        for session in self._deadlines.pop_due(now_seconds):
            if session.strain is None:
                continue  # it has received enough meanwhile, or was closed
            waiting = session.waiting_bytes
            if waiting <= self._much_bytes:
                session.strain = None
            elif session.strain.taken(waiting) < self._least_bytes:
                self._abort(session)
            else:
                self._deadlines.add(session, now_seconds)
            yield
