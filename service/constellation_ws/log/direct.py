"""Delivers what is appended to the log directly, for a deployment that has no recorder (`live`).

Producers may XADD whatever the delivery mode is, and so may pods that still run with `durable`.
What a recorder has appended was published as well, so it is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis

from constellation_ws.log.append_scripts import TRIM_UNRECORDED
from constellation_ws.log.layout import read_entries
from constellation_ws.log.rate import AppendRate
from constellation_ws.log.tail import ReadRefused, Tail
from constellation_ws.redis_io.link import FAULTS, backoff_seconds
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

_TRIM_SECONDS = 10.0
_REFUSED_SECONDS = 60.0
"""How long to wait where Redis does not let this user read the log: most likely nobody may write to
it either."""

Published = tuple[bytes, bytes]


class DirectEntries:
    """Follows the log. `run` must run in one task for as long as the process lives."""

    def __init__(self, redis: Redis, names: Names, window_seconds: float) -> None:
        """Entries are removed once they are older than the window, unless a recorder does that."""
        self._redis = redis
        self._names = names
        self._window_seconds = window_seconds
        self._trim_script: Any = redis.register_script(TRIM_UNRECORDED)
        self._after: bytes | None = None
        self._tail = Tail(redis, names, AppendRate(), lambda: self._after or b"0-0", self._receive)
        self._deliver: Callable[[list[Published]], None] | None = None

    async def run(self, deliver: Callable[[list[Published]], None]) -> None:
        """Pass every batch to `deliver`, for ever."""
        self._deliver = deliver
        attempt = 0
        while True:
            try:
                await self._find_end()
                attempt = 0
                await self._follow()
            except ReadRefused as error:
                if error.reply.startswith("NOPERM"):  # else the log may be on another node by now
                    logger.warning(
                        "entries written directly to the log are not delivered", reason=error.reply
                    )
                    await asyncio.sleep(_REFUSED_SECONDS)
            except FAULTS as error:
                logger.debug("the log cannot be followed, trying again", error=str(error))
            attempt += 1
            await asyncio.sleep(backoff_seconds(attempt, random.random()))

    async def _find_end(self) -> None:
        """Begin at the end of the log, the first time. Raises what FAULTS names."""
        if self._after is None:
            last: Any = await self._redis.xrevrange(self._names.log, count=1)
            self._after = last[0][0] if last else b"0-0"

    async def _follow(self) -> None:
        """Read until the connection is lost, and trim at intervals. Raises what FAULTS names."""
        async with self._tail.opened() as link:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TRIM_SECONDS):
                        await link.disconnected()
                await self._trim()

    async def _trim(self) -> None:
        keys = [self._names.log, self._names.state]
        await self._trim_script(keys=keys, args=[int(self._window_seconds * 1000)])

    def _receive(self, pairs: list[Any]) -> None:
        """Deliver the entries of one reply to XREAD that no recorder has appended."""
        if pairs:
            self._after = pairs[-1][0]
        self._tail.note_read(len(pairs), len(pairs))
        self._tail.ask_next()
        direct = [pair for pair in pairs if b"at" not in pair[1][::2]]
        if direct:
            assert self._deliver is not None, "runs"
            logged = read_entries(direct).logged
            self._deliver([(channel, data) for _, channel, data in logged])
