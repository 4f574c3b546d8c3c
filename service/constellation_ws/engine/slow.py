"""Clients that take what they are sent too slowly: who is one, and when it is closed.

More may wait for a client than `max_write_buffer_bytes`, but neither for long nor without end: a
large event, or several in one batch, must not close a client that takes them at the speed of its
network. Only those for which so much waits are watched; the others cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from constellation_ws.engine.deadlines import Deadlines
from constellation_ws.engine.limits import EngineLimits

GRACE_SECONDS = 10.0
"""How long a client may take less than it should while too much waits for it."""
_LEAST_PART = 8
"""Of `max_write_buffer_bytes` it must take one part within the grace: 100 kbit/s by default."""


class Strain:
    """What waits for one client that is watched, and what was added since it was looked at."""

    __slots__ = ("added", "waiting")

    def __init__(self, waiting_bytes: int) -> None:
        self.waiting = waiting_bytes
        self.added = 0

    def taken(self, waiting_bytes: int) -> int:
        """Say how much the client has taken, where so much waits now; look again from here."""
        taken = self.waiting + self.added - waiting_bytes
        self.waiting, self.added = waiting_bytes, 0
        return taken


class Client(Hashable, Protocol):
    """What is watched: a session."""

    strain: Strain | None

    @property
    def waiting_bytes(self) -> int:
        """How much waits for it."""


Watched = TypeVar("Watched", bound=Client)


class SlowConsumers(Generic[Watched]):
    """The sessions for which more than `max_write_buffer_bytes` waits."""

    def __init__(self, limits: EngineLimits, drop: Callable[[Watched], None]) -> None:
        self._max_bytes = limits.max_burst_bytes
        self._least_bytes = limits.max_write_buffer_bytes // _LEAST_PART
        self._drop = drop
        self._deadlines: Deadlines[Watched] = Deadlines(GRACE_SECONDS)

    def __len__(self) -> int:
        return len(self._deadlines)

    def note(self, session: Watched, added_bytes: int) -> None:
        """Watch a session for which too much waits after this was added; drop it at the bound."""
        waiting = session.waiting_bytes
        if waiting > self._max_bytes:
            self._drop(session)
        elif session.strain is None:
            session.strain = Strain(waiting)
            self._deadlines.add(session, time.monotonic())
        else:
            session.strain.added += added_bytes

    def release(self, session: Watched) -> None:
        """Watch a session no more."""
        if session.strain is not None:
            session.strain = None
            self._deadlines.remove(session)

    def advance(self, now_seconds: float) -> Iterator[None]:
        """Drop those that have taken too little for the whole grace, one at each step."""
        for session in self._deadlines.pop_due(now_seconds):
            if session.strain is None:
                continue  # it has taken enough meanwhile, or left
            if session.strain.taken(session.waiting_bytes) < self._least_bytes:
                self._drop(session)
            else:
                self._deadlines.add(session, now_seconds)
            yield
