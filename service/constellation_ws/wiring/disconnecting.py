"""Carries out `disconnectUser`: this pod's sockets are disconnected, and its answer is sent."""

from __future__ import annotations

import functools
from collections.abc import Callable

import structlog

from constellation_ws.chats.namespace import Chats
from constellation_ws.messages.commands import Disconnect
from constellation_ws.messages.events import Room
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.wiring.errands import Errands

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 2.0
"""How long another pod waits for the answer to its `disconnectUser`."""


class Disconnecting:
    """Does it behind whoever has received the command."""

    def __init__(
        self, chats: Chats, bus: RedisBus, errands: Errands, note: Callable[[Room], None]
    ) -> None:
        """`note` is told whom each command names, for sessions that are about to arrive."""
        self._chats = chats
        self._note = note
        self._bus = bus
        self._errands = errands

    def begin(self, command: Disconnect) -> None:
        """Disconnect whom a command names, soon. Never waits."""
        self._note(command.who)
        if command.reply_to:
            key = (command.who, command.reply_to, command.ask)
        elif self._chats.rooms.members(command.who):
            key = (command.who, "", 0)  # disconnecting twice is disconnecting once
        else:
            return
        self._errands.put(key, functools.partial(self._disconnect, command), seconds=None)

    async def _disconnect(self, command: Disconnect) -> None:
        count = await self._chats.disconnect(command.who)
        if count:
            log.info("disconnected on request", sockets=count, reason=command.reason)
        if command.reply_to:
            key = (command.reply_to, command.ask)
            answer = functools.partial(self._bus.answer, command, count)
            self._errands.put(key, answer, _ANSWER_SECONDS)
