"""Delivers what Redis brings, and has other parts do what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from constellation_ws.access.access import Access
from constellation_ws.delivery.effects import Asked, Effect, MembershipEnded, Moved
from constellation_ws.delivery.relay import Relay
from constellation_ws.log.layout import Logged
from constellation_ws.messages.commands import (
    Disconnect,
    DisconnectAll,
    Fence,
    Handover,
    Inspect,
    ListMembers,
)
from constellation_ws.recovery.none import NoRecovery, NoSessions
from constellation_ws.recovery.resume import Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.redis_io.bus import Published


class Onlooker(Protocol):
    """Who sees what is delivered."""

    @property
    def is_looked_at(self) -> bool:
        """Whether anybody wants to see events now."""

    def look(self, batch: list[Published]) -> None:
        """Look at a read from Pub/Sub, before it is delivered."""

    def look_at_logged(self, batch: list[Logged], age_seconds: float) -> None:
        """Look at a read from the log, before it is delivered."""

    def begin(self, command: Inspect) -> None:
        """Begin to answer a question. Never waits."""


class Consumer:
    """Where the ways of all events end. All of it is `def`: a batch is one step."""

    def __init__(
        self,
        relay: Relay,
        access: Access,
        sessions: Sessions | NoSessions,
        recovery: Recovery | NoRecovery,
        disconnect: Callable[[Disconnect | DisconnectAll], None],
        list_members: Callable[[ListMembers], None],
        accept_acks: Callable[[Asked], None],
        console: Onlooker,
    ) -> None:
        self._relay = relay
        self._access = access
        self._sessions = sessions
        self._recovery = recovery
        self._disconnect = disconnect
        self._list_members = list_members
        self._accept_acks = accept_acks
        self._console = console

    def deliver(self, batch: list[Published]) -> list[Handover]:
        """Deliver one read from Pub/Sub; return what pods have said that leave."""
        if self._console.is_looked_at:
            self._console.look(batch)
        effects = self._relay.deliver(batch)
        return self._apply(effects) if effects else []

    def deliver_logged(self, batch: list[Logged], age_seconds: float) -> None:
        """Deliver one read from the log; its newest entry was so old then."""
        if self._console.is_looked_at:
            self._console.look_at_logged(batch, age_seconds)
        effects = self._relay.deliver_logged(batch, age_seconds)
        if effects:
            self._apply(effects)

    def _apply(self, effects: list[Effect]) -> list[Handover]:
        handovers: list[Handover] = []
        for effect in effects:
            match effect:
                case Moved(members, room, offset, is_in):
                    self._sessions.touch(members, room, offset, is_in=is_in)
                case MembershipEnded(room, who):
                    self._access.forget(room, who)
                case Asked():
                    self._accept_acks(effect)
                case Fence(sid, owner):
                    self._recovery.fence(sid, owner)
                case Disconnect() | DisconnectAll():
                    self._disconnect(effect)
                case ListMembers():
                    self._list_members(effect)
                case Inspect():
                    self._console.begin(effect)
                case Handover():
                    handovers.append(effect)
        return handovers
