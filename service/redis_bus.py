"""Redis Pub/Sub: one subscription read in batches, and the commands that other modules send.

What the messages mean is not known here, save the heartbeat and the answers to `ask`, which begin
and end in this module.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
import secrets
import time
from collections.abc import Callable, Iterable

import hiredis
import structlog
from redis.asyncio import Redis

from service import commands
from service.events import Room
from service.metrics import Metrics
from service.redis_link import FAULTS, RedisUnavailable, backoff_seconds, open_link

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 4.0
SILENCE_SECONDS = 12.0
"""Without a heartbeat for so long the subscription counts as dead, whatever its socket says.

Below the 15 seconds within which it has to be noticed; two heartbeats may be late before it counts.
"""
_ASK_SECONDS = 2.0


Published = tuple[bytes, bytes]
"""One message from Redis as it came: channel and payload. A bare tuple: one is made per message."""


class RedisBus:
    """The gateway's connections to Redis.

    `run` and `beat` must each run in one task for as long as the process lives.
    """

    def __init__(self, redis: Redis, channels: Iterable[str], metrics: Metrics) -> None:
        self.instance = secrets.token_hex(6)
        """Tells this process apart from every other, a restarted one of the same name too."""
        self._redis = redis
        self._metrics = metrics
        self._heartbeat = f"constellation:heartbeat:{self.instance}".encode()
        self._reply_channel = f"constellation:reply:{self.instance}"
        self._own = {self._heartbeat: self._hear, self._reply_channel.encode(): self._count}
        own = (self._heartbeat.decode(), self._reply_channel)
        self._channels = (*channels, commands.CHANNEL, commands.EMITTER_CHANNEL, *own)
        self._asks = itertools.count(1)
        self._waiting: dict[int, _Tally] = {}
        self._deadline: asyncio.Timeout | None = None
        self.lost_at: float | None = time.monotonic()
        """Monotonic time since which there is no subscription; None while it stands."""
        self.has_subscribed = False
        """Whether the subscription has stood at least once."""
        self.on_standing: Callable[[], None] = lambda: None
        """Told each time the subscription stands."""
        self.on_lost: Callable[[], None] = lambda: None
        """Told each time it is lost."""
        self._attempts = 0
        """Tries since the subscription last stood."""

    async def run(self, take: Callable[[list[Published]], None]) -> None:
        """Hand every batch to `take`, for ever; resubscribe when the connection is lost."""
        while True:
            try:
                # Around the subscription: what it brings may be here before `lost` is called.
                sort = functools.partial(self._sort, take)
                async with asyncio.timeout(SILENCE_SECONDS) as self._deadline:
                    async with open_link(self._redis, sort) as link:
                        link.send("SUBSCRIBE", *self._channels)
                        await link.lost()
            except TimeoutError:
                self._lose("silent", "no heartbeat came back")
            except FAULTS as error:
                self._lose("connection", str(error))
            self._attempts += 1
            await asyncio.sleep(backoff_seconds(self._attempts, random.random()))

    async def beat(self, tell: Callable[[], None]) -> None:
        """Send heartbeats through Redis, for ever; `tell` after each, sent or not."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._redis.publish(self._heartbeat.decode(), str(time.monotonic()))
            except FAULTS as error:
                log.debug("the heartbeat could not be sent", error=str(error))
            tell()

    async def publish(self, channel: str, payload: bytes) -> int:
        """Publish and say how many subscribers Redis reached. Raises RedisUnavailable."""
        try:
            return int(await self._redis.publish(channel, payload))
        except FAULTS as error:
            raise RedisUnavailable("Redis cannot be reached; try again") from error

    async def tell(self, command: commands.Command) -> None:
        """Send a command to every pod, this one included. Raises RedisUnavailable."""
        await self.publish(commands.CHANNEL, commands.encode(command))

    async def disconnect(self, who: Room, reason: str) -> int:
        """Disconnect a room's members on every pod and add up how many there were.

        Waits for the pods that hear it, two seconds at most. Raises RedisUnavailable.
        """
        ask = next(self._asks)
        tally = self._waiting[ask] = _Tally()
        try:
            command = commands.Disconnect(who, reason, self._reply_channel, ask)
            tally.expect(await self.publish(commands.CHANNEL, commands.encode(command)))
            async with asyncio.timeout(_ASK_SECONDS):
                await tally.complete.wait()
        except TimeoutError:
            log.warning("not every pod answered", answered=tally.answers, expected=tally.expected)
        finally:
            del self._waiting[ask]
        return tally.total

    async def answer(self, command: commands.Disconnect, count: int) -> None:
        """Answer another pod's `disconnect`. Raises RedisUnavailable."""
        await self.publish(command.reply_to, b"%d %d" % (command.ask, count))

    def _sort(self, take: Callable[[list[Published]], None], parser: hiredis.Reader) -> None:
        """Take out what has arrived whole; keep what is ours, pass the rest on as one batch."""
        batch: list[Published] = []
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(f"Redis refused the subscription: {reply}")
            kind = reply[0]
            if kind == b"message":
                _, channel, payload = reply
                own = self._own.get(channel)
                if own is None:
                    batch.append((channel, payload))
                else:
                    self._attend(own, payload)
            elif kind == b"subscribe" and reply[2] == len(self._channels):
                self._stand()
        if batch:
            take(batch)

    def _stand(self) -> None:
        if self.has_subscribed:
            log.info("subscribed to Redis again")
        self.lost_at, self.has_subscribed = None, True
        self._attempts = 0
        self.on_standing()

    def _lose(self, reason: str, error: str) -> None:
        self._metrics.redis_reconnects.labels(reason).inc()
        if self.lost_at is None or not self.has_subscribed:
            log.warning("no Redis subscription, trying again", reason=reason, error=error)
        if self.lost_at is None:
            self.lost_at = time.monotonic()
        self.on_lost()

    def _attend(self, own: Callable[[bytes], None], payload: bytes) -> None:
        """Hear a heartbeat or an answer; anybody may publish on these channels too."""
        try:
            own(payload)
        except ValueError:
            self._metrics.commands.labels("malformed").inc()

    def _hear(self, payload: bytes) -> None:
        assert self._deadline is not None, "read inside the timeout"
        round_trip_seconds = time.monotonic() - float(payload)
        self._deadline.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
        self._metrics.redis_round_trip.set(round_trip_seconds)

    def _count(self, payload: bytes) -> None:
        ask, _, count = payload.partition(b" ")
        tally = self._waiting.get(int(ask))
        if tally is not None:
            tally.add(int(count))


class _Tally:
    """Adds up the answers of the pods that one question reached."""

    def __init__(self) -> None:
        self.answers = 0
        self.total = 0
        self.expected: int | None = None
        self.complete = asyncio.Event()

    def expect(self, answers: int) -> None:
        self.expected = answers
        self._check()

    def add(self, count: int) -> None:
        self.answers += 1
        self.total += count
        self._check()

    def _check(self) -> None:
        if self.expected is not None and self.answers >= self.expected:
            self.complete.set()
