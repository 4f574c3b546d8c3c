"""Recovery that does nothing: for `live` delivery, or `CONSTELLATION_RECOVERY=off`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.events import UserId
from constellation_ws.recovery.missed import Found
from constellation_ws.recovery.moving import LogPosition, MovedTicket


class NoSessions:
    """Stores no sessions: every join succeeds, and no client can resume."""

    async def joined(self, member: Member, room: str) -> bool:
        return True

    async def left(self, member: Member, room: str) -> bool:
        return True

    async def removed(self, member: Member, rooms: Iterable[str]) -> None:
        """Nothing is written."""

    def touch(self, members: Iterable[Member], room: str, offset: bytes, *, is_in: bool) -> None:
        """Nothing is written."""

    def leave(self, member: Member, *, for_good: bool) -> None:
        """Nothing is kept."""

    def closing(self, member: Member) -> None:
        """Nothing is proven by an answer."""

    def pinged(self, eio_sid: str) -> None:
        """Nothing is noted."""

    def ponged(self, eio_sid: str) -> None:
        """Nothing is noted."""

    def close_acknowledged(self, eio_sid: str) -> None:
        """Nothing is noted."""

    def forget(self, members: Collection[Member]) -> None:
        """Nothing is dropped."""

    async def flush(self) -> None:
        """Nothing waits to be written."""


class NoRecovery:
    """Gives nobody a session."""

    async def open(self, member: Member, user: UserId, auth: Any) -> None:
        return None

    def fence(self, sid: str, owner: str) -> None:
        """No session moves."""


class NoMoving:
    """Without a log no pod can continue where another has stopped: sessions do not move."""

    can_move = False

    def position_of(self, member: Member) -> None:
        return None

    def can_release(self, member: Member) -> bool:
        return False

    def release(self, member: Member) -> None:
        return None

    async def expects(self, position: LogPosition) -> bool:
        return False

    async def find(self, ticket: MovedTicket, own_room: str, rooms: frozenset[str]) -> None:
        return None

    def go_on(self, member: Member, moved: MovedTicket, found: Found) -> None:
        """Nothing has moved here."""
