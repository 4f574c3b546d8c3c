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
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from service import commands
from service.events import Room
from service.metrics import Metrics

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 4.0
SILENCE_SECONDS = 12.0
"""Without a heartbeat for so long the subscription counts as dead, whatever its socket says.

Below the 15 seconds within which it has to be noticed; two heartbeats may be late before it counts.
"""
_MAX_BACKOFF_SECONDS = 1.0
_ASK_SECONDS = 2.0
_FAULTS = (RedisError, OSError, hiredis.HiredisError, asyncio.IncompleteReadError)


Published = tuple[bytes, bytes]
"""One message from Redis as it came: channel and payload. A bare tuple: one is made per message."""


class RedisUnavailable(ConnectionError):
    """Redis did not take a command; the sender should try again."""


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
        self._attempts = 0
        """Tries since the subscription last stood."""

    async def run(self, take: Callable[[list[Published]], None]) -> None:
        """Hand every batch to `take`, for ever; resubscribe when the connection is lost."""
        while True:
            try:
                # Around the subscription: what it brings may be here before `lost` is called.
                async with asyncio.timeout(SILENCE_SECONDS) as self._deadline:
                    async with self._subscription(take) as subscription:
                        await subscription.lost()
            except TimeoutError:
                self._lose("silent", "no heartbeat came back")
            except _FAULTS as error:
                self._lose("connection", str(error))
            self._attempts += 1
            await asyncio.sleep(_backoff_seconds(self._attempts, random.random()))

    async def beat(self, tell: Callable[[], None]) -> None:
        """Send heartbeats through Redis, for ever; `tell` after each, sent or not."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._redis.publish(self._heartbeat.decode(), str(time.monotonic()))
            except _FAULTS as error:
                log.debug("the heartbeat could not be sent", error=str(error))
            tell()

    async def publish(self, channel: str, payload: bytes) -> int:
        """Publish and say how many subscribers Redis reached. Raises RedisUnavailable."""
        try:
            return int(await self._redis.publish(channel, payload))
        except _FAULTS as error:
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

    @asynccontextmanager
    async def _subscription(
        self, take: Callable[[list[Published]], None]
    ) -> AsyncIterator[_Subscription]:
        """Hold a subscribed connection; what it brings goes to `take` until it is lost.

        redis-py connects (TLS, authentication, Sentinel), then its stream's transport is ours: its
        own Pub/Sub reader costs ten times as much, see docs/decisions/0001-pubsub-reader.md.
        """
        pool: Any = self._redis.connection_pool  # its methods carry no types
        connection = await pool.get_connection()
        subscription = _Subscription(functools.partial(self._sort, take))
        try:
            transport_of(connection).set_protocol(subscription)
            await connection.send_command("SUBSCRIBE", *self._channels)
            yield subscription
        finally:
            subscription.forget()
            # Not fit for commands any more: the pool opens a fresh one when it needs it.
            await connection.disconnect(nowait=True)
            await pool.release(connection)

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

    def _lose(self, reason: str, error: str) -> None:
        self._metrics.redis_reconnects.labels(reason).inc()
        if self.lost_at is None or not self.has_subscribed:
            log.warning("no Redis subscription, trying again", reason=reason, error=error)
        if self.lost_at is None:
            self.lost_at = time.monotonic()

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


def _backoff_seconds(attempt: int, chance: float) -> float:
    """Full jitter below a bound that doubles up to a second."""
    # Bounded before it is raised: the 1024th attempt, ten minutes without Redis, would overflow.
    return chance * min(_MAX_BACKOFF_SECONDS, 0.05 * 2.0 ** min(attempt, 10))


class _Subscription(asyncio.Protocol):
    """Reads replies off a connection as they come; a read is a batch.

    Handled within the read's own callback: no task wakes up, and between two reads the loop serves
    the sockets.
    """

    def __init__(self, sort: Callable[[hiredis.Reader], None]) -> None:
        self._sort = sort
        self._parser = hiredis.Reader()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def lost(self) -> None:
        """Wait until the connection is gone. Raises what ended it, ConnectionError if nothing did.

        An error of whoever takes the batches is raised here too.
        """
        await self._lost

    def forget(self) -> None:
        """Want to hear no more, not of the end either."""
        if not self._lost.cancel() and not self._lost.cancelled():
            self._lost.exception()  # or asyncio logs it as never retrieved

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            self._sort(self._parser)
        except Exception as error:  # noqa: BLE001 - carried to `lost`, whose caller it concerns
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("Redis closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)


def transport_of(connection: AbstractConnection) -> asyncio.WriteTransport:
    """Get at the transport of a redis-py connection; private, guarded by tests/contract.

    Raises ConnectionError where there is none any more.
    """
    writer = connection._writer
    if writer is None:
        raise ConnectionError("Redis closed the connection")
    return writer.transport
