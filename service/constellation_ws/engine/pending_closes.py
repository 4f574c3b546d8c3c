"""Closed sessions whose client has not received that yet, each for a limited time.

A polling client has to fetch its last packets; a WebSocket client has to answer our Close frame.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from typing import Protocol

from constellation_ws.engine.deadlines import Deadlines
from constellation_ws.engine.session import EngineSession

CLOSE_SECONDS = 5.0
"""How long a closed session waits for its client to receive the close."""


class ClosingWebSocket(Hashable, Protocol):
    """A WebSocket that has sent a Close frame."""

    def abort(self) -> None:
        """Close the connection without sending what is still buffered."""


class PendingCloses:
    """The pending closes of one engine, of both transports."""

    def __init__(self) -> None:
        self._polling: dict[str, EngineSession] = {}
        self._fetches: Deadlines[str] = Deadlines(CLOSE_SECONDS)
        self._websockets: Deadlines[ClosingWebSocket] = Deadlines(CLOSE_SECONDS)

    def __len__(self) -> int:
        return len(self._polling) + len(self._websockets)

    @property
    def websockets(self) -> int:
        """How many of them are WebSockets."""
        return len(self._websockets)

    def add_polling(self, session: EngineSession) -> None:
        """Keep a closed polling session until its client has fetched its last packets."""
        self._polling[session.sid] = session
        self._fetches.add(session.sid, time.monotonic())

    def pop_polling(self, sid: str) -> EngineSession | None:
        """Remove and return a closed polling session; None if there is none of this ID."""
        self._fetches.remove(sid)
        return self._polling.pop(sid, None)

    def add_websocket(self, connection: ClosingWebSocket) -> None:
        """Wait for a client's Close frame. Its time is not extended by a second call."""
        if connection not in self._websockets:
            self._websockets.add(connection, time.monotonic())

    def remove_websocket(self, connection: ClosingWebSocket) -> None:
        """Remove a connection that is closed; harmless if it is not here."""
        self._websockets.remove(connection)

    def advance(self, now_seconds: float) -> Iterator[None]:
        """End those whose time is over, one at each step."""
        for sid in self._fetches.pop_due(now_seconds):
            self.pop_polling(sid)
            yield
        for connection in self._websockets.pop_due(now_seconds):
            connection.abort()
            yield
