"""Requests of clients that watch who is online. Which there are says the interface table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.neighbours import Access, Board, Sessions
from constellation_ws.chats.requests import AckData, Handler
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.interface.rows import RequestRow
from constellation_ws.interface.watches import WatchReader, watch_room, watched_chat
from constellation_ws.messages.admission import (
    DISCONNECTED,
    UNAVAILABLE,
    Limits,
    Refusal,
    may_join,
)
from constellation_ws.messages.events import UserId
from constellation_ws.messages.namespaces import scoped, standing_rooms
from constellation_ws.redis_io.link import RedisUnavailable

_ASKED_AT_ONCE = 10
"""Users about whom access is asked at a time. The first refusal ends the request: else one request
of somebody who may watch nobody would cost the API a hundred questions."""


class Watching:
    """Lets members enter the rooms of those who watch a user, and leave them."""

    def __init__(
        self, rooms: Rooms, limits: Limits, access: Access, sessions: Sessions, board: Board
    ) -> None:
        self._rooms = rooms
        self._limits = limits
        self._access = access
        self._sessions = sessions
        self._board = board

    def handler(self, row: RequestRow) -> Handler:
        """Make the handler of a row with watches or unwatches."""
        reader = WatchReader(row, self._limits.max_id_chars)

        async def handle(request: ClientRequest) -> AckData | Refusal:
            users = reader.read(request.json)
            if isinstance(users, Refusal):
                return users
            if row.watches:
                return await self._watch(request.member, users, row)
            return await self._unwatch(request.member, users)

        return handle

    async def _watch(
        self, member: Member, users: Sequence[UserId], row: RequestRow
    ) -> AckData | Refusal:
        wanted = {
            user: room
            for user in users
            if (room := member.scope + watch_room(user, row.access)) not in member.rooms
        }
        assert member.user is not None, "connected"
        joined = len(member.rooms) - len(standing_rooms(member.scope, member.user))
        refusal = may_join(joined + len(wanted) - 1, self._limits) if wanted else None
        if refusal is None and row.access == "chat":
            refusal = await self._ask_access(member, list(wanted))
        if refusal is None:
            refusal = await self._enter(member, list(wanted.values()))
        if refusal is not None:
            return refusal
        try:
            # Asked last: what changes from here on is delivered to the member, which is in the
            # rooms, or part of the answer.
            return {"online": await self._board.online(users)}
        except RedisUnavailable:
            await self._undo(member, list(wanted.values()))
            return UNAVAILABLE

    async def _ask_access(self, member: Member, users: Sequence[UserId]) -> Refusal | None:
        assert member.identity is not None, "set before it was connected"
        identity = member.identity
        for start in range(0, len(users), _ASKED_AT_ONCE):
            some = users[start : start + _ASKED_AT_ONCE]
            refusals = await asyncio.gather(
                *(self._access.refusal(identity, watched_chat(user)) for user in some)
            )
            for refusal in filter(None, refusals):
                return refusal
        return None

    async def _enter(self, member: Member, rooms: Sequence[str]) -> Refusal | None:
        """Put a member into all of the rooms, or into none where that cannot be written."""
        if self._rooms.by_own_room(member.own_room) is not member:
            return DISCONNECTED
        for room in rooms:
            self._rooms.enter(member, room)
        # At once: they are written together.
        written = await asyncio.gather(*(self._sessions.joined(member, room) for room in rooms))
        if all(written):
            return None
        await self._undo(member, rooms)
        return UNAVAILABLE

    async def _undo(self, member: Member, rooms: Sequence[str]) -> None:
        for room in rooms:
            self._rooms.leave(member, room)
        await self._sessions.removed(member, rooms)

    async def _unwatch(self, member: Member, users: Sequence[UserId]) -> AckData | Refusal:
        names = [watch_room(user, access) for user in users for access in ("none", "chat")]
        rooms = [room for room in scoped(member.scope, names) if room in member.rooms]
        # Written before it is done: a change that comes meanwhile is still the member's.
        written = await asyncio.gather(*(self._sessions.left(member, room) for room in rooms))
        if not all(written):
            return UNAVAILABLE
        for room in rooms:
            self._rooms.leave(member, room)
        return {}
