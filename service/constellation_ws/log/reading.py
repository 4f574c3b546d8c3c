"""Reading entries of the log back, a page at a time, and whether that is all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis

from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.layout import Logged, id_of, read_named
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LogState
from constellation_ws.redis_io.link import FAULTS, RedisUnavailable
from constellation_ws.redis_io.names import Names


class Page(NamedTuple):
    """What was read at once."""

    logged: list[Logged]
    entries: int
    """How many entries hold that; one may hold hundreds of messages."""
    is_last: bool
    """Whether there is no more up to the end."""


class LogReader:
    """Reads entries that are no longer in memory. Every method raises RedisUnavailable."""

    def __init__(
        self, redis: Redis, names: Names, mark: SessionMark, on_damaged: Callable[[str], None]
    ) -> None:
        """`on_damaged` is called with the reason if entries were removed by something else."""
        self._redis = redis
        self._names = names
        self._state = LogState(redis, names, mark)
        self._on_damaged = on_damaged

    async def page(self, after: LogId, up_to: LogId, count: int) -> Page:
        """Read what comes after one message, up to and with another: so many entries at most."""
        pairs = await self._read(b"(" + format_id(after), up_to, count)
        content = read_named(pairs)
        if any(fault.is_recorded for fault in content.faults):
            self._on_damaged("unreadable")
            raise RedisUnavailable("the log cannot be read: another release has written it")
        logged = [one for one in content.logged if after < id_of(one) <= up_to]
        is_last = len(pairs) < count or id_of(pairs[-1]) >= up_to
        return Page(logged, len(pairs), is_last)

    async def _read(self, start: bytes, up_to: LogId, count: int) -> list[Any]:
        """Read entries up to the one that a message is in: that may be a packed one, with a later
        ID of the same millisecond."""
        try:
            pairs: Any = await self._redis.xrange(
                self._names.log, start, b"%d" % up_to[0], count=count
            )
        except FAULTS as error:
            raise RedisUnavailable(_UNAVAILABLE) from error
        return list(pairs)

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
        """Return whether a message is in the log."""
        pairs = await self._read(format_id(log_id), log_id, 1)
        return any(id_of(one) == log_id for one in read_named(pairs).logged)


async def last_position(redis: Redis, names: Names, last: LogId) -> bytes | None:
    """Read the position of the last message up to this ID that has one. Raises what FAULTS names.

    Looked for in the newest thousand entries, a few at a time.
    """
    found: Any = format_id(last)
    for _ in range(_LAST_PAGES):
        pairs: Any = await redis.xrevrange(names.log, found, count=_LAST_PAGE)
        for _, fields in pairs:
            if b"at" in fields:
                return bytes(fields[b"at"])
        if len(pairs) < _LAST_PAGE:
            break
        found = b"(" + pairs[-1][0]
    return None


_LAST_PAGE, _LAST_PAGES = 50, 20
_UNAVAILABLE = "the log cannot be read: Redis is away"
