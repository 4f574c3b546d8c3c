"""Makes sure that the log lacks nothing now, for those who promise that to a client."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from constellation_ws.log.ids import LogId
from constellation_ws.log.redis_log import RedisLog
from constellation_ws.log.state import Look, find_gap
from constellation_ws.redis_io.link import FAULTS

_AGAIN_SECONDS = 0.1
_LOOK_SECONDS = 2.0
"""Nobody waits for a look for longer; a Redis that hangs must not hold up the next one."""

Looked = tuple[Look, LogId]
"""A look at the log, and what this pod had delivered when it began."""


class Confirmed(NamedTuple):
    """What was found of the log, which lacks nothing."""

    epoch: str
    last: LogId
    """No pod has delivered anything behind this entry before the log was looked at."""


class LogConfirmation:
    """Looks at the log. Two thousand clients that return at once share a few looks.

    `run` must run in one task for as long as the process lives.
    """

    def __init__(self, redis_log: RedisLog) -> None:
        self._log = redis_log
        self._waiting: list[asyncio.Future[Looked]] = []
        self._is_wanted = asyncio.Event()

    async def confirmed(self) -> Confirmed:
        """Wait until it is known that the log lacks nothing now.

        A pod that has not read them yet does not miss entries that somebody else has removed.
        Raises what FAULTS names.
        """
        while True:
            epoch = await self._log.current()
            look, delivered = await self._look()
            reason = find_gap(epoch, delivered, look)
            if reason is None:
                return Confirmed(epoch, look.last)
            if look.damage and look.epoch == epoch:
                self._log.damaged(reason)
            else:
                self._log.look_again()
                await self._log.moved(_AGAIN_SECONDS)

    def _look(self) -> asyncio.Future[Looked]:
        """Look at the log, not before now."""
        looked: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
        self._waiting.append(looked)
        self._is_wanted.set()
        return looked

    async def run(self) -> None:
        """Look whenever somebody waits for it, for ever."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            waiting, self._waiting = self._waiting, []
            delivered = self._log.delivered
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    look = await self._log.state.look(delivered)
            except (TimeoutError, *FAULTS) as error:
                _complete(waiting, error)
            else:
                _complete(waiting, (look, delivered))


def _complete(waiting: list[asyncio.Future[Looked]], answer: Looked | Exception) -> None:
    for one in waiting:
        if one.done():
            continue  # it has waited for too long
        if isinstance(answer, Exception):
            one.set_exception(answer)
        else:
            one.set_result(answer)
