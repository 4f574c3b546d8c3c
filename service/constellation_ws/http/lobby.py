"""Connections that wait for an HTTP request: how many there may be, and which is closed first.

Timeouts are not here: each connection has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from constellation_ws.http.refusals import HALF_OPEN
from constellation_ws.messages.admission import Refusal
from constellation_ws.websocket import Refuse


class Waiting(Protocol):
    """A connection in the lobby."""

    def close_waiting(self) -> None:
        """Close the connection, so that another one has room."""


class Lobby:
    """Connections that wait. If there are too many, it closes the one that has waited longest.

    A new one is never refused. A client that has a request sends it within a round trip, so a flood
    of silent connections pushes out silent connections.
    """

    def __init__(
        self,
        most: int,
        count: Callable[[Refusal], Refuse],
        is_crowded: Callable[[], bool] = lambda: False,
        is_out_of_sockets: Callable[[], bool] = lambda: False,
        reason: Refusal = HALF_OPEN,
    ) -> None:
        """`count` counts a refusal and returns the response to it.

        `reason` is why a connection is closed when there are too many.

        `is_crowded` returns whether connections should be closed after their response,
        `is_out_of_sockets` whether one must be closed for each new one.
        """
        self.is_crowded = is_crowded
        self._is_out_of_sockets = is_out_of_sockets
        self._most = most
        self._count = count
        self._reason = reason
        self._waiting: dict[Waiting, None] = {}

    def enter(self, connection: Waiting) -> None:
        """Add a connection that waits for a request."""
        self._waiting[connection] = None
        if len(self._waiting) > self._most or self._is_out_of_sockets():
            self.close_longest_waiting()

    def close_longest_waiting(self) -> None:
        """Close the connection that has waited longest, if there is one."""
        for longest in self._waiting:
            self.leave(longest)
            self._count(self._reason)
            longest.close_waiting()
            return

    def leave(self, connection: Waiting) -> None:
        """Remove a connection that has its request or is closed; harmless if it is not here."""
        self._waiting.pop(connection, None)

    def refuse(self, refusal: Refusal) -> Refuse:
        """Count a refusal, and return the response to it."""
        return self._count(refusal)

    def __len__(self) -> int:
        return len(self._waiting)
