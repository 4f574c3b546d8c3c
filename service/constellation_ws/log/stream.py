"""The log: one capped Redis Stream that holds every accepted event for the recovery window.

This pod's view of it: its tail, its epoch, and appending. Who gets what is not known here.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import hiredis
import structlog
from redis.asyncio import Redis

from constellation_ws.log.appender import Appender
from constellation_ws.log.epochs import Epochs
from constellation_ws.log.history import BEGINNING, Logged, format_id
from constellation_ws.log.layout import PAGE, positions, read_entries, tail_pairs
from constellation_ws.log.positions import LogId
from constellation_ws.log.reading import Reader
from constellation_ws.log.state import DAMAGES, Claim, LogState, Look
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import (
    FAULTS,
    Link,
    RedisUnavailable,
    answers_of,
    backoff_seconds,
    open_link,
)
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

_BLOCK_MILLISECONDS = 1_000
_FIRST_BLOCK_MILLISECONDS = 1
"""The first answer says that the log is followed: a pod is not ready before it."""
_SILENCE_SECONDS = 5.0
_WATCHED_SECONDS = 3.0
"""A connection whose loss is noticed so soon after the last answered question has been read until
then: an XREAD takes a second, and the next one follows."""
_QUIET_SECONDS = 0.002
"""How long after the last append's answer this pod asks for entries itself again."""


class Follower(Protocol):
    """Who consumes the log on this pod."""

    def deliver(self, batch: list[Logged]) -> None:
        """Carry out the entries of one read, in the log's order."""

    def begin_history(self, after: LogId) -> None:
        """Note that entries are delivered without a gap from the one after this ID on."""

    def report_gap(self, reason: str) -> None:
        """Let every session of this pod know that it may have missed something."""


class LogChanged(ConnectionError):
    """The log is to be looked at again: its epoch has changed, or is to be changed."""


class RedisLog:
    """This pod's view of the log. `run` must run in one task for as long as the process lives."""

    def __init__(
        self,
        redis: Redis,
        redis_requests: Redis,
        redis_once: Redis,
        names: Names,
        unrecorded: Unrecorded,
        metrics: Metrics,
    ) -> None:
        """`redis` is for following and the lease, `redis_requests` for reading back.

        Both may try again; `redis_once` must not: an event would be in the log twice.
        """
        self._redis = redis
        self._redis_once = redis_once
        self._names = names
        self._unrecorded = unrecorded
        self._metrics = metrics
        self.state = LogState(redis, names)
        self.reader = Reader(redis_requests, names, self.damaged)
        self._follower: Follower | None = None
        self._link: Link | None = None
        self._deadline: asyncio.Timeout | None = None
        self._attempts = 0
        self._moved = asyncio.Event()
        self._is_awaited = False
        self._heard_at = 0.0
        self._asked_at = 0.0
        self._alive_at = 0.0
        """Monotonic time at which the last question was sent that Redis has answered."""
        self._is_brought = False
        """Whether the recorder's appends have answered with entries lately."""
        self._quiet: asyncio.TimerHandle | None = None
        """Set while nothing is asked for, since the appends' answers bring it."""
        self._epochs = Epochs(self.state)
        self._epoch_began = math.inf
        """Monotonic time at which the epoch of the last look began."""
        self._place = b"", BEGINNING
        """What the recorder said last: a position, and how far the log has to be read for it."""
        self.lag_seconds = 0.0
        """Age that the newest entry had when it was read, by Redis' clock; 0 when none waits."""
        self.delivered: LogId = BEGINNING
        """The last entry that was handed over here."""
        self.lost_at: float | None = time.monotonic()
        """Monotonic time since which the tail is not followed; None while it is."""
        self.has_followed = False

    @property
    def epoch(self) -> str | None:
        """Name of the history that this pod has delivered without a gap up to `delivered`.

        None while that is not known: before the first look, after the connection to Redis was lost
        until this pod has caught up, and from a loss until it is recorded as such.
        """
        return None if self.lost_at is not None else self._epochs.current

    @property
    def trouble(self) -> str:
        """Why a loss cannot be recorded as such, in Redis' own words; empty where it can."""
        return self._epochs.trouble

    async def reached(self, log_id: LogId) -> None:
        """Wait until this pod has delivered up to this entry, which another one may have before."""
        while self.delivered < log_id:
            await self._step()

    async def current(self) -> str:
        """Wait until the epoch is known here, and give it."""
        while (epoch := self.epoch) is None:
            await self._step()
        return epoch

    async def _step(self) -> None:
        self._is_awaited = True
        await self._moved.wait()

    # Epochs

    def lose(self, reason: str, count: int) -> None:
        """End the epoch: events that this pod has received are lost, and nobody can be told which.

        Every session of the deployment becomes unrecoverable, and every connected one is told.
        """
        logger.error("received events could not be recorded", reason=reason, events=count)
        self._metrics.lost_events.labels(reason).inc(count)
        self._epochs.lose(reason)
        self._look_again()

    def damaged(self, reason: str) -> None:
        """Note that entries are gone that nobody was allowed to remove."""
        self._epochs.lose(reason)
        self._look_again()

    def note(self, claim: Claim) -> None:
        """Compare what Redis says of the log with what is known here."""
        if self.lost_at is not None or self.note_epoch(claim):
            return  # about to be looked at
        place, placed = self._place
        if self.delivered >= placed:
            self._place = claim.place, claim.placed
            if missing := self._unrecorded.confirm_place(place):
                self.lose("passed_over", missing)

    def note_epoch(self, claim: Claim) -> bool:
        """Compare the epoch that Redis names with the one known here; tell whether they differ."""
        must_look = self.lost_at is None and self._epochs.must_look(claim)
        if must_look:
            self._look_again()
        return must_look

    def _look_again(self) -> None:
        if self._link is not None:
            self._link.fail(LogChanged("the log is checked again"))

    async def _catch_up(self) -> None:
        """Find where to go on, and whether something is missing there. Raises what FAULTS names."""
        is_first, asked = self._epochs.is_first_look, self.delivered
        look = await self._epochs.look(asked, has_watched=self._has_watched())
        self._epoch_began = time.monotonic() - look.age_seconds
        if is_first:
            await self._begin_at(look)
        elif self._epochs.has_gap() and look.last < asked:
            # Where the log has gone back, what was delivered before cannot be told from what is
            # new: only what comes now is new for certain. Else this pod's own appends may have
            # been answered since it looked, and must not be read again.
            self.delivered = look.last

    def _has_watched(self) -> bool:
        """Tell whether this pod has read the log up to when its connection was lost.

        A process that was paused, or whose Redis was silent, finds out late that the connection is
        gone: what was appended meanwhile, and lost by a Redis that came back, it has never seen.
        An answer may have waited for as long as the process was paused, so it proves no more than
        that Redis was there when it was asked.
        """
        if self._epochs.is_first_look:
            return False
        lost_at = time.monotonic() if self.lost_at is None else self.lost_at
        return lost_at - self._alive_at < _WATCHED_SECONDS

    async def _begin_at(self, look: Look) -> None:
        """Begin at the end of the log; what of the stream is in it is recorded already."""
        self.delivered = look.last
        pairs: Any = await self._redis.xrevrange(self._names.log, format_id(look.last), count=PAGE)
        last = next((fields[b"at"] for _, fields in pairs if b"at" in fields), None)
        if last is not None:
            self._unrecorded.follow([last])
        assert self._follower is not None, "runs"
        self._follower.begin_history(look.last)

    def _report(self, reason: str) -> None:
        logger.error("gap in the log", reason=reason)
        self._metrics.log_gaps.labels(reason).inc()
        self._unrecorded.lose_track(self._epoch_began)
        self._unrecorded.forgive()
        if reason in DAMAGES:
            self._unrecorded.doubt()
        assert self._follower is not None, "runs"
        self._follower.begin_history(self.delivered)
        self._follower.report_gap(reason)

    # Following

    async def run(self, follower: Follower) -> None:
        """Hand every batch to the follower, for ever; Redis may come and go meanwhile."""
        self._follower = follower
        while True:
            try:
                await self._catch_up()
                await self._follow()
            except LogChanged:
                self._stop_asking()
                continue
            except TimeoutError:
                self._lose("silent", "no answer to XREAD")
            except FAULTS as error:
                self._lose("connection", str(error))
            self._attempts += 1
            await asyncio.sleep(backoff_seconds(self._attempts, random.random()))

    async def _follow(self) -> None:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS) as self._deadline:
                async with open_link(self._redis, self._on_replies, self._names.log) as self._link:
                    self._ask(_FIRST_BLOCK_MILLISECONDS)
                    await self._link.lost()
        finally:
            self._deadline = None  # appends may still be answered

    def _ask(self, block_milliseconds: int = _BLOCK_MILLISECONDS) -> None:
        assert self._link is not None, "asked while the link is open"
        self._asked_at = time.monotonic()
        self._link.send(
            "XREAD", "COUNT", PAGE, "BLOCK", block_milliseconds, "STREAMS", self._names.log,
            format_id(self.delivered),
        )  # fmt: skip

    def _on_replies(self, parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(f"Redis refused to read the log: {reply}")
            self.note_alive(self._asked_at)
            self._note_answer()
            pairs = tail_pairs(reply)
            batch = self._take_up(read_entries(pairs))
            if self._is_brought:
                self._ask_when_quiet()
            else:
                self._ask()  # before the batch is carried out: Redis works meanwhile
            if batch and (appended := positions(pairs)):
                self._compare(appended)
            self._hand_over(batch, is_level=len(pairs) < PAGE)

    def _compare(self, appended: list[bytes]) -> None:
        """Compare what the recorder has appended with what this pod has received."""
        if missing := self._unrecorded.follow(appended):
            self.lose("passed_over", missing)

    def deliver_answer(self, entries: list[Logged]) -> None:
        """Deliver what an append's answer brings, where this pod has not read it already."""
        if self.lost_at is not None:
            return  # whether this log goes on where ours has ended is found out elsewhere
        self._is_brought = True
        self._note_answer()
        self._hand_over(self._take_up(entries), is_level=False)

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
            self.delivered = _id_of(entries[-1])
            lag = time.time() - self.delivered[0] / 1000
            self.lag_seconds = lag if lag > 0 else 0.0  # Redis' clock may be ahead
        return entries

    def _hand_over(self, batch: list[Logged], *, is_level: bool) -> None:
        """Deliver; `is_level` says that the log held no more when it was read."""
        if batch:
            assert self._follower is not None, "runs"
            self._follower.deliver(batch)
        target = self._epochs.target
        if target is not None:
            if is_level or self.delivered >= target:
                reason = self._epochs.adopt()
                if reason is not None:
                    self._report(reason)
        elif not batch:
            return
        if self._is_awaited:
            self._is_awaited = False
            self._moved.set()
            self._moved = asyncio.Event()

    def note_alive(self, asked_at: float) -> None:
        """Note that Redis has answered what was sent at this monotonic time."""
        self._alive_at = max(self._alive_at, asked_at)

    def _note_answer(self) -> None:
        now = time.monotonic()
        if now - self._heard_at > _SILENCE_SECONDS / 4:  # a timer per reply costs more than it
            self._heard_at = now
            if self._deadline is not None and not self._deadline.expired():
                self._deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)
        if self.lost_at is not None and self.has_followed:
            logger.info("following the log again", after=format_id(self.delivered).decode())
        self.lost_at, self.has_followed, self._attempts = None, True, 0

    def _stop_asking(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._is_brought = False

    def _lose(self, reason: str, error: str) -> None:
        self._stop_asking()
        self._metrics.redis_reconnects.labels(f"log {reason}").inc()
        if self.lost_at is None or not self.has_followed:
            logger.warning("the log cannot be followed, trying again", reason=reason, error=error)
        if self.lost_at is None:
            self.lost_at = time.monotonic()

    # Appending

    async def append(self, channel: str, data: bytes) -> None:
        """Append one message. Raises RedisUnavailable."""
        for answer in await self.append_all([(channel, data)]):
            if isinstance(answer, RedisUnavailable):
                raise answer

    async def append_all(
        self, messages: Sequence[tuple[str, bytes]]
    ) -> list[str | RedisUnavailable]:
        """Append (channel, data) pairs in their order; give each one's ID, or why it has none."""
        async with self._redis_once.pipeline(transaction=False) as pipe:
            for channel, data in messages:
                pipe.xadd(self._names.log, {"channel": channel, "data": data})
            answers = await answers_of(pipe, "the log cannot be written: Redis is away or full")
        return [one if isinstance(one, RedisUnavailable) else one.decode() for one in answers]

    @asynccontextmanager
    async def open_appender(self, token: str) -> AsyncIterator[Appender]:
        """Hold a connection that appends while `token` holds the lease. Raises FAULTS.

        What its answers bring is handed over like what is read.
        """
        names = self._names
        receive: Callable[[hiredis.Reader], None]
        # Nothing is received before something is sent.
        async with open_link(
            self._redis,
            lambda parser: receive(parser),  # noqa: PLW0108
            names.log,
            names.state,
        ) as link:
            appender = Appender(link, names, token, self)
            receive = appender.receive
            yield appender


def _id_of(entry: Logged) -> LogId:
    milliseconds, _, sequence = entry[0].partition(b"-")  # Redis's own: there is nothing to check
    return int(milliseconds), int(sequence)
