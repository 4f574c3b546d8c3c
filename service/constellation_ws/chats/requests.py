"""Requests of clients that are served here: to join rooms, and to leave them.

Which there are says the interface table; a row becomes a handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.neighbours import Access, Sessions
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.interface.requests import RequestReader
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import (
    DISCONNECTED,
    UNAVAILABLE,
    Limits,
    Refusal,
    may_join,
)
from constellation_ws.messages.events import ChatId
from constellation_ws.messages.namespaces import scoped, standing_rooms

AckData = Mapping[str, Any]
"""The `data` of a positive ack."""
Handler = Callable[[ClientRequest], Awaitable[AckData | Refusal]]
"""Gives the ack's data, or why there is none."""


class RoomRequests:
    """Lets members join rooms and leave them."""

    def __init__(self, rooms: Rooms, limits: Limits, access: Access, sessions: Sessions) -> None:
        self._rooms = rooms
        self._limits = limits
        self._access = access
        self._sessions = sessions

    def handler(self, row: RequestRow) -> Handler:
        """Make the handler of a row with joins or leaves."""
        reader = RequestReader(row, self._limits.max_id_chars)

        async def handle(request: ClientRequest) -> AckData | Refusal:
            wanted = reader.read(request.json)
            if isinstance(wanted, Refusal):
                return wanted
            member = request.member
            rooms = scoped(member.scope, wanted.rooms)
            if row.joins:
                refusal = await self._join(member, rooms, wanted.chats)
            else:
                refusal = await self._leave(member, rooms)
            return wanted.given if refusal is None else refusal

        return handle

    async def _join(
        self, member: Member, wanted: Sequence[str], chats: Sequence[ChatId]
    ) -> Refusal | None:
        rooms = [room for room in wanted if room not in member.rooms]
        if not rooms:
            return None
        assert member.user is not None, "connected"
        joined = len(member.rooms) - len(standing_rooms(member.scope, member.user))
        refusal = may_join(joined + len(rooms) - 1, self._limits)
        for chat in chats:
            if refusal is None:
                refusal = await self._ask_access(member, chat)
        if refusal is not None:
            return refusal
        # Nothing has waited since the answer: an end of membership comes before it or finds it.
        for room in rooms:
            self._rooms.enter(member, room)
        for number, room in enumerate(rooms):
            if not await self._sessions.joined(member, room):
                await self._undo(member, rooms[:number], rooms[number:])
                return UNAVAILABLE
        return None

    async def _undo(self, member: Member, written: list[str], unwritten: list[str]) -> None:
        """Take a member out of all rooms of a request of which one cannot be stored."""
        for room in (*written, *unwritten):
            self._rooms.leave(member, room)
        if written:
            await self._sessions.removed(member, written)

    async def _ask_access(self, member: Member, chat: ChatId) -> Refusal | None:
        assert member.identity is not None, "set before it was connected"
        refusal = await self._access.refusal(member.identity, chat)
        is_here = self._rooms.by_own_room(member.own_room) is member
        return refusal if is_here else DISCONNECTED

    async def _leave(self, member: Member, rooms: Sequence[str]) -> Refusal | None:
        for room in rooms:
            # Written before it is done: an event that comes meanwhile is still the member's.
            if not await self._sessions.left(member, room):
                return UNAVAILABLE
            self._rooms.leave(member, room)
        return None
