"""Reading entries of the log back, all of them or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio import Redis

from service.history import Logged, LogId, format_id, parse_id
from service.redis_link import FAULTS, RedisUnavailable
from service.redis_log.layout import PAGE
from service.redis_log.state import LogState
from service.redis_names import Names


class ReadBack:
    """Reads what this pod does not have in memory any more."""

    def __init__(self, redis: Redis, names: Names, state: LogState) -> None:
        self._redis = redis
        self._names = names
        self._state = state

    async def between(
        self, start: LogId, end: LogId, on_damaged: Callable[[str], None]
    ) -> list[Logged] | None:
        """Read the entries after `start` up to and with `end`; None where some are gone.

        `on_damaged` is told why, where nobody was allowed to remove them. Raises RedisUnavailable.
        """
        try:
            entries = [entry async for entry in self._pages(start, end)]
            look = await self._state.look(end)  # after reading: trimming goes on meanwhile
        except FAULTS as error:
            raise RedisUnavailable("the log cannot be read: Redis is away") from error
        if look.damage or look.last < end:
            on_damaged(look.damage or "rolled_back")
            return None
        return None if look.trimmed > start else entries

    async def _pages(self, start: LogId, end: LogId) -> AsyncIterator[Logged]:
        while start < end:
            page: Any = await self._redis.xrange(
                self._names.log, b"(" + format_id(start), format_id(end), count=PAGE
            )
            for log_id, fields in page:
                yield log_id, fields.get(b"channel", b""), fields.get(b"data", b"")
            if len(page) < PAGE:
                return
            start = parse_id(page[-1][0]) or end
