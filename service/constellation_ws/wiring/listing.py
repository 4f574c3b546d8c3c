"""Replies to other pods with the users who are in a room on this one."""

from __future__ import annotations

import functools

from constellation_ws.chats.room_users import list_users
from constellation_ws.delivery.rooms import Rooms
from constellation_ws.messages.commands import ListMembers
from constellation_ws.redis_io.all_pods import ASK_SECONDS, AllPods
from constellation_ws.wiring.background_jobs import BackgroundJobs


class Listing:
    """Does it in the background, after the command was received."""

    def __init__(self, rooms: Rooms, all_pods: AllPods, jobs: BackgroundJobs) -> None:
        self._rooms = rooms
        self._all_pods = all_pods
        self._jobs = jobs

    def begin(self, command: ListMembers) -> None:
        """Begin to reply to a command; the reply may be dropped. Never waits."""
        work = functools.partial(self._answer, command)
        self._jobs.put((command.reply_to, command.ask), work, ASK_SECONDS)

    async def _answer(self, command: ListMembers) -> None:
        members = self._rooms.members(command.room)
        users = await list_users(members, command.cursor, command.limit)
        await self._all_pods.answer_members(command, users)
