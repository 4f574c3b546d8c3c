"""Executes `disconnectUser` and `disconnectSockets` for the sockets of this pod.

The reply to the former is sent from here, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable

import structlog

from constellation_ws.chats.members import Members
from constellation_ws.messages.commands import Disconnect, DisconnectAll, Selection
from constellation_ws.redis_io.all_pods import ASK_SECONDS, AllPods
from constellation_ws.wiring.background_jobs import BackgroundJobs

logger = structlog.get_logger(__name__)


class Disconnecting:
    """Does it in the background, after the command was received."""

    def __init__(
        self,
        members: Members,
        all_pods: AllPods,
        jobs: BackgroundJobs,
        note: Callable[[Selection], None],
    ) -> None:
        """`note` gets the selection of each command, for sessions that are about to arrive."""
        self._members = members
        self._note = note
        self._all_pods = all_pods
        self._jobs = jobs

    def begin(self, command: Disconnect | DisconnectAll) -> None:
        """Begin to execute a command. Never waits."""
        match command:
            case Disconnect(who, reason):
                meant = Selection(self._members.everywhere(who), ())
            case DisconnectAll(rooms, except_rooms):
                meant, reason = Selection(rooms, except_rooms), ""
        self._note(meant)
        if isinstance(command, Disconnect) and command.reply_to:
            key: Hashable = (command.who, command.reply_to, command.ask)
            self._jobs.put(key, functools.partial(self._answer, command, meant), seconds=None)
        elif self._members.includes(meant):
            # Keyed by whom it means: disconnecting twice is disconnecting once.
            self._jobs.put(meant, functools.partial(self._disconnect, meant, reason), seconds=None)

    async def _answer(self, command: Disconnect, meant: Selection) -> None:
        count = await self._disconnect(meant, command.reason)
        key = (command.reply_to, command.ask)
        answer = functools.partial(self._all_pods.answer_disconnect, command, count)
        self._jobs.put(key, answer, ASK_SECONDS)

    async def _disconnect(self, meant: Selection, reason: str) -> int:
        count = await self._members.disconnect(meant)
        if count:
            logger.info("disconnected on request", sockets=count, reason=reason)
        return count
