"""The log: one capped Redis Stream that holds every accepted event for the recovery window.

This pod's view of it: its tail, its epoch, and appending. Who gets what is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import structlog
from redis.asyncio import Redis

from constellation_ws.log.appender import Appender, open_appender
from constellation_ws.log.comparison import Comparison
from constellation_ws.log.epochs import Epochs
from constellation_ws.log.follower import Follower
from constellation_ws.log.following import Following
from constellation_ws.log.ids import BEGINNING, LogId, format_id
from constellation_ws.log.layout import Content, Logged, id_of, later_than, read_entries
from constellation_ws.log.rate import AppendRate
from constellation_ws.log.reading import LogReader, last_position
from constellation_ws.log.session_mark import SessionMark
from constellation_ws.log.state import LeaseReply, LogState, Look
from constellation_ws.log.tail import Tail
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.link import FAULTS
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)


class LogChanged(ConnectionError):
    """The log has to be examined again: its epoch has changed, or is to be changed."""


class RedisLog:
    """This pod's view of the log. `run` must run in one task for as long as the process lives."""

    def __init__(
        self,
        redis: Redis,
        redis_requests: Redis,
        names: Names,
        unrecorded: Unrecorded,
        mark: SessionMark,
        metrics: Metrics,
        *,
        is_divided: bool,
    ) -> None:
        """`redis` follows and asks for the lease, `redis_requests` reads; both may try again.

        `is_divided` says that the log may have several partitions, of which this is one.
        """
        self.shown: Mapping[str, int] = {"partition": names.partition} if is_divided else {}
        """What log lines say of the partition; nothing where there is only one."""
        self._logger = logger.bind(**self.shown)
        self._redis = redis
        self._names = names
        self.comparison = Comparison(unrecorded)
        self._metrics = metrics
        self.state = LogState(redis, names, mark)
        self.reader = LogReader(redis_requests, names, mark, self.damaged)
        self._follower: Follower | None = None
        self.rate = AppendRate()
        self._tail = Tail(redis, names, self.rate, lambda: format_id(self.delivered), self._receive)
        self._moved, self._is_awaited = asyncio.Event(), False
        self.epochs = Epochs(self.state, mark, self.shown)
        self.lag_seconds = 0.0
        """Age that the newest entry had when it was read, by Redis' clock; 0 when none waits."""
        self.delivered: LogId = BEGINNING
        """The last entry that was handed over here."""
        self.following = Following(metrics, self.shown)

    @property
    def epoch(self) -> str | None:
        """Name of the history that this pod has delivered without a gap up to `delivered`.

        None while that is not known: before the first look, after the connection to Redis was lost
        until this pod has caught up, and from a loss until it is recorded as such.
        """
        return None if self.following.disconnected_at is not None else self.epochs.current

    async def reached(self, log_id: LogId) -> None:
        """Wait until this pod has delivered up to this entry, which another one may have before."""
        while self.delivered < log_id:
            await self.moved()

    async def current(self) -> str:
        """Wait until the epoch is known here, and give it."""
        while (epoch := self.epoch) is None:
            await self.moved()
        return epoch

    async def moved(self, most_seconds: float | None = None) -> None:
        """Wait until something is delivered or the epoch is known, or for so many seconds."""
        self._is_awaited = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_seconds):
                await self._moved.wait()

    # Epochs

    def lose(self, reason: str, count: int, *, is_reported: bool = False) -> None:
        """End the epoch: events that this pod has received are lost, and it is not known which.

        No session of the deployment can be recovered, and every connected client reconnects.
        `is_reported` says that they have done so already: the epoch began after the loss.
        """
        self._logger.error("received events could not be recorded", reason=reason, events=count)
        self._metrics.lost_events.labels(reason).inc(count)
        if not is_reported:
            self.epochs.end(reason)
            self.look_again()

    def damaged(self, reason: str) -> None:
        """End the epoch: entries were removed by something other than the recorder."""
        self.epochs.end(reason)
        self.look_again()

    def note(self, reply: LeaseReply) -> None:
        """Compare a reply of Redis with what is known here, and act on the difference."""
        if self.following.disconnected_at is not None or self.note_epoch(reply):
            return  # about to be looked at
        missing, has_hole = self.comparison.confirm(reply, self.delivered)
        if missing or has_hole:
            self.lose("passed_over" if missing else "interrupted", missing or 1)

    def note_epoch(self, reply: LeaseReply) -> bool:
        """Compare the epoch in a reply of Redis with the known one; return whether they differ."""
        must_look = self.following.disconnected_at is None and self.epochs.must_look(reply)
        if must_look:
            self.look_again()
        return must_look

    def look_again(self) -> None:
        """Examine the log from the beginning, as after a lost connection."""
        self._tail.fail(LogChanged("the log is checked again"))

    async def _catch_up(self) -> None:
        """Find where to continue, and whether entries are missing. Raises what FAULTS names."""
        is_first, asked, asked_at = self.epochs.is_first_look, self.delivered, time.monotonic()
        look = await self.epochs.look(asked, has_watched=self._has_watched())
        self.comparison.look(look, asked_at, time.monotonic())
        if is_first:
            await self._begin_at(look)
        elif self.epochs.has_gap():
            now = time.monotonic()
            new_after = look.new_after(asked, now - (self.following.disconnected_at or now))
            if new_after < asked:
                self.delivered = new_after
                await self._compare_after(new_after)
            elif not look.has_delivered:
                await self._compare_after(look.last)
        if not self.epochs.has_gap():
            self.comparison.note_whole()

    def _has_watched(self) -> bool:
        """Return whether this pod has read the log up to when its connection was lost."""
        if self.epochs.is_first_look:
            return False
        disconnected_at = (
            time.monotonic()
            if self.following.disconnected_at is None
            else self.following.disconnected_at
        )
        return self._tail.was_alive_at(disconnected_at)

    async def _begin_at(self, look: Look) -> None:
        """Begin at the end of the log; received messages up to its last position are recorded."""
        self.delivered = look.last
        await self._compare_after(look.last)
        assert self._follower is not None, "runs"
        self._follower.begin_after(look.last)

    async def _compare_after(self, last: LogId) -> None:
        """Compare entries behind this one, from the position of the last before that has one."""
        position = await last_position(self._redis, self._names, last)
        self.comparison.begin_after(last, position)

    def _report(self, reason: str) -> None:
        self._logger.error("gap in the log", reason=reason)
        self._metrics.log_gaps.labels(reason).inc()
        self.comparison.note_gap(reason)
        assert self._follower is not None, "runs"
        self._follower.begin_after(self.delivered)
        self._follower.report_gap(reason)

    # Following

    async def run(self, follower: Follower) -> None:
        """Pass every batch to the follower, for ever; Redis may be unavailable meanwhile."""
        self._follower = follower
        while True:
            try:
                await self._catch_up()
                async with self._tail.opened() as link:
                    await link.disconnected()
            except LogChanged:
                continue
            except TimeoutError:
                self.following.end("silent", "no answer to XREAD")
            except FAULTS as error:
                self.following.end("connection", str(error))
            await asyncio.sleep(self.following.next_pause())

    def _receive(self, pairs: list[Any]) -> None:
        """Deliver the entries of one reply to XREAD."""
        self.following.begin(self.delivered)
        content = self._take(pairs)
        is_level = self._tail.note_read(len(pairs), len(content.logged))
        self._tail.ask_next()  # before the batch is carried out: Redis works meanwhile
        self._compare(content)
        self._deliver(content.logged, is_level=is_level)

    def _compare(self, content: Content) -> None:
        for fault in content.faults:
            self._logger.error(
                "an entry of the log cannot be read", id=fault.id, reason=fault.reason
            )
            if fault.is_recorded:
                self.lose("unreadable", 1)
        if content.runs and (missing := self.comparison.compare(content.runs)):
            self.lose("passed_over", missing)

    def deliver_appended(self, entries: list[Logged]) -> None:
        """Deliver what this pod has appended, unless it has read it already."""
        if self.following.disconnected_at is not None:
            return  # `_catch_up` finds whether this log continues where ours has ended
        self._tail.note_appended()
        self._deliver(self._advance(later_than(self.delivered, entries)), is_level=False)

    def deliver_reply(self, pairs: list[Any]) -> None:
        """Deliver the entries in a reply to the recorder, unless this pod has read them already.

        Those of others are compared as well: what an earlier recorder has appended must not be
        appended again.
        """
        if self.following.disconnected_at is not None:
            return
        self._tail.note_appended()
        content = self._take(pairs)
        self._compare(content)
        self._deliver(content.logged, is_level=False)

    def _take(self, pairs: list[Any]) -> Content:
        """Count what was not delivered yet as delivered; return it, and the positions in it."""
        fresh = later_than(self.delivered, pairs)
        content = read_entries(fresh)
        compared = later_than(self.comparison.begins_after, fresh)
        if len(compared) < len(fresh):
            content.runs = read_entries(compared).runs
        self._advance(content.logged)
        return content

    def _advance(self, entries: list[Logged]) -> list[Logged]:
        """Count entries as delivered."""
        if entries:
            self.delivered = id_of(entries[-1])
            lag = time.time() - self.delivered[0] / 1000
            self.lag_seconds = lag if lag > 0 else 0.0  # Redis' clock may be ahead
        else:
            self.lag_seconds = 0.0
        return entries

    def _deliver(self, batch: list[Logged], *, is_level: bool) -> None:
        """Deliver; `is_level` says that the log held no more when it was read."""
        if batch:
            assert self._follower is not None, "runs"
            self._follower.deliver(batch)
        target = self.epochs.target
        if target is not None:
            if is_level or self.delivered >= target:
                reason = self.epochs.adopt()
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
        self._tail.note_alive(asked_at)

    # Appending

    def open_appender(self, lease_id: str) -> contextlib.AbstractAsyncContextManager[Appender]:
        """Hold a connection that appends while this lease is held. Raises what FAULTS names.

        The entries in its replies are delivered like those that are read.
        """
        return open_appender(self._redis, self._names, lease_id, self)
