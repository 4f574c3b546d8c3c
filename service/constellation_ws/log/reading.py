"""Reading entries of the log back, a page at a time, and whether that is all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.state import LogState
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable
from constellation_ws.redis_io.names import Names


class LogReader:
    """Reads entries that are no longer in memory. Every method raises RedisUnavailable."""

    def __init__(self, redis: Redis, names: Names, on_damaged: Callable[[str], None]) -> None:
        """`on_damaged` is called with the reason if entries were removed by something else."""
        self._redis = redis
        self._names = names
        self._state = LogState(redis, names)
        self._on_damaged = on_damaged

    async def page(self, after: LogId, up_to: LogId, count: int) -> list[Logged]:
        """Read the next entries after one, up to and with another."""
        start, end = b"(" + format_id(after), format_id(up_to)
        try:
            page: Any = await self._redis.xrange(self._names.log, start, end, count=count)
        except FAULTS as error:
            raise RedisUnavailable(_UNAVAILABLE) from error
        return [
            (log_id, fields.get(b"channel", b""), fields.get(b"data", b""))
            for log_id, fields in page
        ]

    async def trimmed(self, up_to: LogId) -> LogId:
        """Return the highest ID that may have been removed, (0, 0) for none.

        To be called again after reading, since trimming continues meanwhile. All of the log counts
        as removed if it is damaged or ends before `up_to`.
        """
        try:
            look = await self._state.look(up_to)
        except FAULTS as error:
            raise RedisUnavailable(_UNAVAILABLE) from error
        if look.damage or look.last < up_to:
            self._on_damaged(look.damage or "rolled_back")
            return max(look.last, up_to)
        return look.trimmed

    async def holds(self, log_id: LogId) -> bool:
        """Return whether an entry is in the log."""
        text = format_id(log_id)
        try:
            return bool(await self._redis.xrange(self._names.log, text, text))
        except FAULTS as error:
            raise RedisUnavailable(_UNAVAILABLE) from error


_UNAVAILABLE = "the log cannot be read: Redis is away"
