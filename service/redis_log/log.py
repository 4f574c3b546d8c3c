"""The log: one capped Redis Stream that holds every accepted event for the recovery window.

Who gets what is not known here.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import structlog
from redis.asyncio import Redis

from service.history import BEGINNING, Logged, LogId, format_id, parse_id
from service.metrics import Metrics
from service.redis_link import FAULTS, Link, RedisUnavailable, backoff_seconds, open_link
from service.redis_log.appender import APPEND, Appender
from service.redis_log.keeper import Keeper
from service.redis_log.layout import (
    IDENTITY_KEY,
    KEY,
    PAGE,
    TRIMMED_KEY,
    read_entries,
)

log = structlog.get_logger(__name__)

_BLOCK_MILLISECONDS = 1_000
_FIRST_BLOCK_MILLISECONDS = 1
"""The first answer says that the log is followed: a pod is not ready before it."""
_SILENCE_SECONDS = 5.0
_QUIET_SECONDS = 0.002
"""How long after the last append's answer this pod asks for entries itself again."""


class RedisLog:
    """This pod's view of the log: its tail, reading back, and appending.

    `run` must run in one task for as long as the process lives.
    """

    def __init__(self, redis: Redis, redis_once: Redis, metrics: Metrics) -> None:
        """`redis` may try again; `redis_once` must not: an event would be in the log twice."""
        self._redis = redis
        self._redis_once = redis_once
        self._metrics = metrics
        self.keeper = Keeper(redis)
        """What the recorder does beside appending."""
        self._identity: bytes | None = None
        self._take: Callable[[list[Logged]], None] = lambda batch: None
        self._link: Link | None = None
        self._deadline: asyncio.Timeout | None = None
        self._attempts = 0
        self._moved = asyncio.Event()
        self._is_awaited = False
        self._heard_at = 0.0
        self._is_brought = False
        """Whether the recorder's appends have answered with entries lately."""
        self.lag_seconds = 0.0
        """Age that the newest entry had when it was read, by Redis' clock; 0 when none waits."""
        self._quiet: asyncio.TimerHandle | None = None
        """Set while nothing is asked for, since the appends' answers bring it."""
        self.delivered: LogId = BEGINNING
        """The last entry that was handed over here."""
        self.delivered_before: LogId = BEGINNING
        """The last entry before the batch that was handed over here last."""
        self.lost_at: float | None = time.monotonic()
        """Monotonic time since which the tail is not followed; None while it is."""
        self.has_followed = False
        self.on_start: Callable[[LogId], None] = lambda start: None
        """Told where following begins, at the start and after a gap."""
        self.on_gap: Callable[[str], None] = lambda reason: None
        """Told when entries were lost between two reads and cannot be had any more."""

    async def reached(self, log_id: LogId) -> None:
        """Wait until this pod has delivered up to this entry, which another one may have before."""
        while self.delivered < log_id:
            self._is_awaited = True
            await self._moved.wait()

    # Following

    async def run(self, take: Callable[[list[Logged]], None]) -> None:
        """Hand every batch to `take`, for ever; go on after the last ID when Redis was away."""
        self._take = take
        while True:
            try:
                await self._catch_up()
                async with asyncio.timeout(_SILENCE_SECONDS) as self._deadline:
                    async with open_link(self._redis, self._on_replies) as self._link:
                        self._ask(_FIRST_BLOCK_MILLISECONDS)
                        await self._link.lost()
            except TimeoutError:
                self._lose("silent", "no answer to XREAD")
            except FAULTS as error:
                self._lose("connection", str(error))
            self._attempts += 1
            await asyncio.sleep(backoff_seconds(self._attempts, random.random()))

    def _ask(self, block_milliseconds: int = _BLOCK_MILLISECONDS) -> None:
        assert self._link is not None, "asked while the link is open"
        self._link.send(
            "XREAD", "COUNT", PAGE, "BLOCK", block_milliseconds, "STREAMS", KEY,
            format_id(self.delivered),
        )  # fmt: skip

    def _on_replies(self, parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(f"Redis refused to read the log: {reply}")
            self._stand()
            batch = self._take_up(_tail_entries(reply))
            if self._is_brought:
                self._ask_when_quiet()
            else:
                self._ask()  # before the batch is carried out: Redis works meanwhile
            self._hand_over(batch)

    def _take_answer(self, entries: list[Logged]) -> None:
        """Hand over what an append's answer brings, where this pod has not read it already."""
        if self.lost_at is not None:
            return  # whether this log goes on where ours has ended is found out elsewhere
        self._is_brought = True
        self._stand()
        self._hand_over(self._take_up(entries))

    def _ask_when_quiet(self) -> None:
        """Ask for nothing as long as appends answer: each reply to XREAD would be a wake-up more.

        What others append meanwhile comes with the next answer, or a moment after the last.
        """
        self._is_brought = False
        self._quiet = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._end_quiet)

    def _end_quiet(self) -> None:
        if self._is_brought:
            self._ask_when_quiet()
        else:
            self._ask()

    def _take_up(self, entries: list[Logged]) -> list[Logged]:
        """Give those that were not handed over yet, and count them as delivered."""
        if not entries:
            self.lag_seconds = 0.0
            return entries
        if _id_of(entries[0]) <= self.delivered:
            entries = [entry for entry in entries if _id_of(entry) > self.delivered]
        if entries:
            self.delivered_before, self.delivered = self.delivered, _id_of(entries[-1])
            lag = time.time() - self.delivered[0] / 1000
            self.lag_seconds = lag if lag > 0 else 0.0  # Redis' clock may be ahead
        return entries

    def _hand_over(self, batch: list[Logged]) -> None:
        if not batch:
            return
        self._take(batch)
        if self._is_awaited:
            self._is_awaited = False
            self._moved.set()
            self._moved = asyncio.Event()

    def _stand(self) -> None:
        assert self._deadline is not None, "read inside the timeout"
        now = time.monotonic()
        if now - self._heard_at > _SILENCE_SECONDS / 4:  # a timer per reply costs more than it
            self._heard_at = now
            self._deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)
        if self.lost_at is not None and self.has_followed:
            log.info("following the log again", after=format_id(self.delivered).decode())
        self.lost_at, self.has_followed, self._attempts = None, True, 0

    def _lose(self, reason: str, error: str) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._metrics.redis_reconnects.labels(f"log {reason}").inc()
        if self.lost_at is None or not self.has_followed:
            log.warning("the log cannot be followed, trying again", reason=reason, error=error)
        if self.lost_at is None:
            self.lost_at = time.monotonic()

    async def _catch_up(self) -> None:
        """Find where to go on, and whether something is missing there. Raises what FAULTS names."""
        identity = await self._read_identity()
        last, deleted = await self._bounds()
        if self._identity is None:
            self.delivered = last
            self.on_start(last)
        elif identity != self._identity:
            self._report_gap("replaced", BEGINNING)
        elif last < self.delivered:
            self._report_gap("rolled_back", last)
        elif deleted > self.delivered:
            self._report_gap("trimmed", self.delivered)
        elif deleted < self.delivered and not await self._has(self.delivered):
            self._report_gap("rolled_back", self.delivered)
        self._identity = identity

    def _report_gap(self, reason: str, resume_after: LogId) -> None:
        log.error("events were lost in the log", reason=reason)
        self._metrics.log_gaps.labels(reason).inc()
        self.delivered = resume_after
        self.on_start(resume_after)
        self.on_gap(reason)

    async def _read_identity(self) -> bytes:
        """Read the log's name, so that a Redis that came back empty is told from one that did not.

        Set by whoever comes first; it lives as long as the data.
        """
        fresh = secrets.token_hex(8)
        await self._redis.set(IDENTITY_KEY, fresh, nx=True)
        identity: Any = await self._redis.get(IDENTITY_KEY)
        return bytes(identity)

    async def _bounds(self) -> tuple[LogId, LogId]:
        """Read the last ID given out and the highest one let go, (0, 0) for none."""
        try:
            trimmed: Any = await self._redis.get(TRIMMED_KEY)
            found: Any = await self._redis.xinfo_stream(KEY)
        except FAULTS as error:
            if "no such key" not in str(error):
                raise
            return BEGINNING, BEGINNING
        last = parse_id(found["last-generated-id"])
        # Redis takes note of what XDEL deletes, and not of what is trimmed.
        deleted = parse_id(found.get("max-deleted-entry-id", b"")) or BEGINNING
        return last or BEGINNING, max(deleted, parse_id(trimmed or b"") or BEGINNING)

    async def _has(self, log_id: LogId) -> bool:
        """Tell whether an entry that was not let go is there: else Redis came back with less."""
        return bool(await self._redis.xrange(KEY, format_id(log_id), format_id(log_id)))

    # Reading back

    async def read_between(self, start: LogId, end: LogId) -> list[Logged] | None:
        """Read the entries after `start` up to and with `end`; None where some are gone already.

        Raises RedisUnavailable.
        """
        try:
            entries = [entry async for entry in self._pages(start, end)]
            _, deleted = await self._bounds()  # after reading: trimming goes on meanwhile
        except FAULTS as error:
            raise RedisUnavailable("the log cannot be read: Redis is away") from error
        return None if deleted > start else entries

    async def _pages(self, start: LogId, end: LogId) -> AsyncIterator[Logged]:
        while start < end:
            page: Any = await self._redis.xrange(
                KEY, b"(" + format_id(start), format_id(end), count=PAGE
            )
            for log_id, fields in page:
                yield log_id, fields.get(b"channel", b""), fields.get(b"data", b"")
            if len(page) < PAGE:
                return
            start = parse_id(page[-1][0]) or end

    # Appending

    async def append(self, channel: str, data: bytes) -> None:
        """Append one message. Raises RedisUnavailable."""
        try:
            await self._redis_once.xadd(KEY, {"channel": channel, "data": data})
        except FAULTS as error:
            raise RedisUnavailable("the log cannot be written: Redis is away or full") from error

    @asynccontextmanager
    async def open_appender(self, token: str) -> AsyncIterator[Appender]:
        """Hold a connection that appends while `token` holds the lease. Raises FAULTS.

        What its answers bring is handed over like what is read.
        """
        script = await self._redis.script_load(APPEND)
        appender = Appender(script, token, lambda: self.delivered, self._take_answer)
        async with open_link(self._redis, appender.hear) as link:
            appender.attach(link)
            yield appender


def _tail_entries(reply: Any) -> list[Logged]:
    """Take the entries out of an XREAD reply, a map in RESP3 and pairs in RESP2."""
    if not reply:
        return []
    return read_entries(next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1])


def _id_of(entry: Logged) -> LogId:
    milliseconds, _, sequence = entry[0].partition(b"-")  # Redis's own: there is nothing to check
    return int(milliseconds), int(sequence)
