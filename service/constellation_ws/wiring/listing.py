"""Answers other pods who is in a room here."""

from __future__ import annotations

import functools

from constellation_ws.chats.members import list_users
from constellation_ws.delivery.rooms import Rooms
from constellation_ws.messages.commands import ListMembers
from constellation_ws.redis_io.bus import ASK_SECONDS, RedisBus
from constellation_ws.wiring.errands import Errands


class Listing:
    """Does it behind whoever has received the command."""

    def __init__(self, rooms: Rooms, bus: RedisBus, errands: Errands) -> None:
        self._rooms = rooms
        self._bus = bus
        self._errands = errands

    def begin(self, command: ListMembers) -> None:
        """Answer a command, soon or not at all. Never waits."""
        work = functools.partial(self._answer, command)
        self._errands.put((command.reply_to, command.ask), work, ASK_SECONDS)

    async def _answer(self, command: ListMembers) -> None:
        members = self._rooms.members(command.room)
        users = await list_users(members, command.cursor, command.limit)
        await self._bus.answer_members(command, users)
