"""Reading the tail of the log: XREAD after XREAD over one connection of its own.

What is in the entries is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import hiredis
from redis.asyncio import Redis

from constellation_ws.log.layout import tail_pairs
from constellation_ws.log.paging import PageSize
from constellation_ws.log.rate import GATHER_SECONDS, AppendRate
from constellation_ws.redis_io.link import Link, open_link
from constellation_ws.redis_io.names import Names

_BLOCK_MILLISECONDS = 1_000
_FIRST_BLOCK_MILLISECONDS = 1
"""The first reply says that the log is followed: a pod is not ready before it."""
_SILENCE_SECONDS = 5.0
_WATCHED_SECONDS = 3.0
"""A connection whose loss is noticed so soon after the last answered question has been read until
then: an XREAD takes a second, and the next one follows."""
_QUIET_SECONDS = 0.002
"""How long after the last append's reply this pod asks for entries itself again."""
_QUIET_AT_HIGH_RATE_SECONDS = 2 * GATHER_SECONDS
"""The same while appends keep a distance: else each of them would wake an XREAD up as well."""


class ReadRefused(ConnectionError):
    """Redis refused to read the log; `reply` is its own text."""

    def __init__(self, reply: str) -> None:
        super().__init__(f"Redis refused to read the log: {reply}")
        self.reply = reply


class Tail:
    """Asks for the entries after the last one that was received, again and again."""

    def __init__(
        self,
        redis: Redis,
        names: Names,
        rate: AppendRate,
        after: Callable[[], bytes],
        on_pairs: Callable[[list[Any]], None],
    ) -> None:
        """`rate` is that of this pod's appends; `after` returns the ID of the last received entry.

        `on_pairs` receives the pairs of each reply, perhaps none, and calls `note_read` and then
        `ask_next`.
        """
        self._redis = redis
        self._log_key = names.log
        self._rate = rate
        self._after = after
        self._on_pairs = on_pairs
        self._page = PageSize()
        self.note_read = self._page.note
        """Takes how many entries a reply had, and how many messages those held; returns whether the
        log held no more."""
        self._link: Link | None = None
        self._deadline: asyncio.Timeout | None = None
        self._extended_at = 0.0
        self._asked_at = 0.0
        self.alive_at = 0.0
        """Monotonic time at which the last command was sent that Redis has answered."""
        self._has_appended = False
        """Whether the recorder's appends have returned entries lately."""
        self._quiet: asyncio.TimerHandle | None = None
        """Set while nothing is asked for, since the replies to appends bring it."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Link]:
        """Hold a connection that asks for entries all the time. Raises what FAULTS names.

        Raises TimeoutError in the caller's task where Redis does not reply for five seconds.
        """
        try:
            async with asyncio.timeout(_SILENCE_SECONDS) as self._deadline:
                async with open_link(self._redis, self._receive, self._log_key) as self._link:
                    self._ask(_FIRST_BLOCK_MILLISECONDS)
                    yield self._link
        finally:
            self._deadline = None  # appends may still be answered
            self._end_quiet()
            self._has_appended = False

    def fail(self, error: Exception) -> None:
        """End the connection with this error, if there is one."""
        if self._link is not None:
            self._link.fail(error)

    def ask_next(self) -> None:
        """Ask for the next entries: now, or once appends return none any more.

        Each reply to XREAD would be one more wake-up. What others append meanwhile comes with the
        reply to the next append, or a moment after the last.
        """
        if self._has_appended:
            self._has_appended = False
            loop = asyncio.get_running_loop()
            seconds = _QUIET_AT_HIGH_RATE_SECONDS if self._rate.is_high else _QUIET_SECONDS
            self._quiet = loop.call_later(seconds, self.ask_next)
        else:
            self._ask(_BLOCK_MILLISECONDS)

    def note_alive(self, asked_at: float) -> None:
        """Note that Redis has answered what was sent at this monotonic time."""
        self.alive_at = max(self.alive_at, asked_at)

    def was_alive_at(self, monotonic: float) -> bool:
        """Return whether the log had been read up to then, if its connection was lost at that time.

        A process that was paused, or whose Redis was silent, notices a lost connection late. It has
        not seen entries that were appended meanwhile and that a restarted Redis has lost. A reply
        may have waited for as long as the process was paused, so it proves only that Redis was
        available when the command was sent.
        """
        return monotonic - self.alive_at < _WATCHED_SECONDS

    def note_appended(self) -> None:
        """Note that an append has returned the next entries."""
        self._has_appended = True
        self._extend_deadline()

    def _ask(self, block_milliseconds: int) -> None:
        assert self._link is not None, "asked while the link is open"
        self._asked_at = time.monotonic()
        self._link.send(
            "XREAD", "COUNT", self._page.entries, "BLOCK", block_milliseconds, "STREAMS",
            self._log_key, self._after(),
        )  # fmt: skip

    def _receive(self, parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ReadRefused(str(reply))
            self.note_alive(self._asked_at)
            self._extend_deadline()
            self._on_pairs(tail_pairs(reply))

    def _extend_deadline(self) -> None:
        now = time.monotonic()
        if now - self._extended_at > _SILENCE_SECONDS / 4:  # a timer per reply costs more than it
            self._extended_at = now
            if self._deadline is not None and not self._deadline.expired():
                self._deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)

    def _end_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
