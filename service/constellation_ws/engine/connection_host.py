"""What a WebSocket connection uses of the engine whose sessions it carries."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.session import EngineSession
from constellation_ws.engine.slow import SlowConsumers
from constellation_ws.runtime.turn_queue import TurnQueue


class LimitedConnection(Hashable, Protocol):
    """A WebSocket that the engine closes unless something happens in time."""

    def abort(self) -> None:
        """Close the connection without sending what is still buffered."""

    def close_probe(self) -> None:
        """Close a connection that still probes; the session continues to poll."""


class ConnectionHost(Protocol):
    """What a connection uses of the engine whose sessions it carries."""

    limits: EngineLimits
    slow: SlowConsumers[EngineSession]
    observer: Observer
    turns: TurnQueue

    def count_packets(self, session: EngineSession, packets: int) -> bool:
        """Count packets of a client. If they are too many, close it and return False."""

    def receive_packet(self, session: EngineSession, packet: str, *, is_alone: bool) -> None:
        """Handle one text packet of an open session; `is_alone` where nothing came with it."""

    def receive_message(self, session: EngineSession, data: bytes) -> None:
        """Queue a message for its handler."""

    def remove(self, session: EngineSession, reason: str) -> None:
        """Remove a session whose transport is closed or does not work."""

    def add_pending_close(self, connection: LimitedConnection) -> None:
        """Give a client time to answer our Close frame."""

    def has_upgraded(self, connection: LimitedConnection) -> None:
        """Note that a connection does not probe any more."""

    def has_closed(self, connection: LimitedConnection) -> None:
        """Note that a connection is closed."""
