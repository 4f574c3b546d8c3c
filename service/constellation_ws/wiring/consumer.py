"""Delivers what Redis brings, and has other parts do what follows from it."""

from __future__ import annotations

from collections.abc import Callable

from constellation_ws.access.access import Access
from constellation_ws.delivery.effects import Asked, Effect, MembershipEnded, Moved
from constellation_ws.delivery.relay import Relay
from constellation_ws.log.layout import Logged
from constellation_ws.messages.commands import (
    Disconnect,
    DisconnectAll,
    Fence,
    Handover,
    ListMembers,
)
from constellation_ws.recovery.none import NoRecovery, NoSessions
from constellation_ws.recovery.resume import Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.redis_io.bus import Published


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
    ) -> None:
        self._relay = relay
        self._access = access
        self._sessions = sessions
        self._recovery = recovery
        self._disconnect = disconnect
        self._list_members = list_members
        self._accept_acks = accept_acks

    def take(self, batch: list[Published]) -> bool:
        """Deliver one read from Pub/Sub; return whether the recorder has released its lease."""
        effects = self._relay.take(batch)
        return bool(effects) and self._apply(effects)

    def take_logged(self, batch: list[Logged], age_seconds: float) -> None:
        """Deliver one read from the log; its newest entry was so old then."""
        effects = self._relay.take_logged(batch, age_seconds)
        if effects:
            self._apply(effects)

    def _apply(self, effects: list[Effect]) -> bool:
        is_lease_free = False
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
                case Handover():
                    is_lease_free = True
        return is_lease_free
