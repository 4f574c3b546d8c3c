"""Redis Pub/Sub: the subscription of this process, kept alive for as long as the process lives.

What the messages mean is not known here, but for the heartbeat, which begins and ends here.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable, Iterable

import structlog
from redis.asyncio import Redis

from constellation_ws.messages import commands
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS, EmitterChannels
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.redis_io.emitters import EmitterFilter
from constellation_ws.redis_io.heartbeat import Heartbeat
from constellation_ws.redis_io.link import FAULTS, RedisMoved, backoff_seconds
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.redis_io.publisher import Publisher
from constellation_ws.redis_io.subscription import Listener, Published, Subscription, Wanted

__all__ = ["Listener", "Published", "RedisBus"]

logger = structlog.get_logger(__name__)

SILENCE_SECONDS = 12.0
"""Without a heartbeat for so long another subscription is tried, whatever this one's socket says.

Below the 15 seconds within which it has to be noticed; two heartbeats may be late before it counts.
"""
_READ_SECONDS = 1.0
"""How long what waits in the kernel may take to be read: the process may have been paused."""
_SUBSCRIBE_SECONDS = 5.0
_CHANGE_SECONDS = 2.0
"""How long the old connection has to bring what came before the new subscription."""


class RedisBus:
    """The gateway's subscription. What it publishes: `publisher`, and `all_pods` for commands.

    `run` and `beat` must each run in one task for as long as the process lives.
    """

    is_retired = False
    """Whether the subscription was ended for good."""
    is_doubted = False
    """Whether the subscription may be dead, and it is not known yet what it has missed."""
    has_subscribed = False
    """Whether the subscription has been active at least once."""
    _current: Subscription | None = None
    _attempts = 0
    """Tries since the subscription was last active."""
    _last_received_at: float
    """Monotonic time of the last heartbeat. What else arrives proves nothing: a path that is dead
    in one direction may still bring what it had buffered."""

    def __init__(
        self,
        redis: Redis,
        channels: Iterable[str],
        metrics: Metrics,
        names: Names = DEFAULT,
        emitters: EmitterChannels = DEFAULT_EMITTERS,
        namespaces: Namespaces = DEFAULT_NAMESPACES,
        *,
        asks_run_id: bool = False,
        volatile: Iterable[str] = (),
        partitions: int = 1,
    ) -> None:
        """`asks_run_id` says whether to learn which start of which Redis a subscription is on.

        `volatile` channels are subscribed to whether events are or not. The log has `partitions`.
        """
        self.instance = secrets.token_urlsafe(6)
        """Tells this process apart from every other, a restarted one of the same name too."""
        self._redis, self._names, self._metrics = redis, names, metrics
        self.publisher = Publisher(redis)
        self.all_pods = AllPods(self.publisher, metrics, names, self.instance)
        own = names.heartbeat(self.instance)
        self._heartbeat = Heartbeat(redis, own, metrics, self._note_heartbeat)
        self.beat = self._heartbeat.beat
        self._own = self._own_channels()
        self._emitters = EmitterFilter(emitters, namespaces, metrics)
        always = (*self._own, names.commands, *names.ticks_of(partitions))
        events = (*channels, commands.EMITTER_CHANNEL)
        self._everything = Wanted((*events, *always), self._emitters.patterns, has_events=True)
        self._unrecorded = Wanted((*volatile, *always), (), has_events=False)
        self._wanted = self._delivered = self._everything
        self._asks_run_id = asks_run_id
        self._ticks = itertools.count()
        self._changing = asyncio.Lock()  # while Redis may count a receiver that is not current
        self.disconnected_at: float | None = time.monotonic()
        """Monotonic time since which there is no subscription; None while it is active."""
        self._last_received_at = time.monotonic()

    def _own_channels(self) -> dict[str, Callable[[bytes], None]]:
        return {
            self._names.heartbeat(self.instance): self._heartbeat.receive,
            self.all_pods.reply_channel: self.all_pods.receive_answer,
        }

    def next_tick(self) -> bytes:
        """Return a tick that no other pod and no other call gives."""
        return b"%b.%d" % (self.instance.encode(), next(self._ticks))

    @property
    def run_id(self) -> str:
        """Which start of which Redis is subscribed to; empty where that is not known."""
        return "" if self._current is None else self._current.run_id

    def listen(self, *, listens: bool) -> None:
        """Subscribe to events, or only to what is never recorded. The listener is notified."""
        self._wanted = self._everything if listens else self._unrecorded
        self._change_soon()

    def _change_soon(self) -> None:
        if self._current is not None and self._current.wanted is not self._wanted:
            self._current.supersede("other channels are to be received")

    def doubt(self) -> None:
        """Subscribe again, since the subscription may be dead without a sign."""
        self.is_doubted = True
        if self._current is not None:
            self._current.supersede("the subscription does not bring what this pod has published")

    async def retire(self, seconds: float) -> bool:
        """End the subscription for good: Redis counts this process as a receiver no more.

        Returns whether all has arrived that Redis had sent, for which it waits so long. Of what was
        lost with earlier subscriptions the listener was notified.
        """
        is_whole = not self.is_doubted
        try:
            async with asyncio.timeout(seconds), self._changing:
                if self._current is not None:
                    await self._current.leave()
        except (TimeoutError, *FAULTS):
            is_whole = False
        self.is_retired = True
        if self._current is not None:
            self._current.end()
        return is_whole

    async def run(self, listener: Listener) -> None:
        """Pass every batch to the listener, for ever; subscribe again when the connection is lost.

        A connection is read until the next one is subscribed: a Redis that was only silent loses
        nothing that was published meanwhile.
        """
        try:
            while not self.is_retired:
                self._current = await self._renew(self._current, listener)
        finally:
            if self._current is not None:
                await self._current.close()
        await asyncio.Event().wait()  # retired; a part that returns would end the process

    async def _renew(self, current: Subscription | None, listener: Listener) -> Subscription | None:
        """Replace the subscription, and wait for the new one's end. Returns as `_await_end`."""
        is_recent = time.monotonic() - self._last_received_at < SILENCE_SECONDS
        if current is not None and is_recent and not current.is_superseded:
            return await self._await_end(current, listener)  # it was silent, and is no more
        fresh = Subscription(self._own, self._names, self._emitters.admits, self._wanted)
        async with self._changing:
            fault = await self._replace(current, fresh, listener)
        if fault is not None:
            self._note_disconnected("connection", fault)
            return await self._back_off(current, listener)
        self._note_active()
        if fresh.wanted is not self._delivered:
            self._delivered = fresh.wanted
            listener.change(listens=fresh.wanted.has_events)
        fresh.deliver_to(listener.receive)
        self._change_soon()
        if self.is_retired:
            fresh.end()
        return await self._await_end(fresh, listener)

    async def _replace(
        self, current: Subscription | None, fresh: Subscription, listener: Listener
    ) -> str | None:
        """Open a subscription in place of the current one; return why it cannot be opened."""
        tick = self.next_tick()
        if current is not None:
            current.end_at(tick)
        try:
            await self._open(fresh, tick)
        except (TimeoutError, *FAULTS) as error:
            await fresh.close()
            if current is not None:
                current.continue_delivery()
            return str(error) or "Redis does not answer"
        except BaseException:
            await fresh.close()
            raise
        if current is not None:
            await self._change_over(current, listener)
        self._current, self.is_doubted = fresh, False
        return None

    async def _open(self, fresh: Subscription, tick: bytes) -> None:
        """Subscribe. Raises TimeoutError, or what FAULTS names.

        What waits to be read was sent in time: the process may have been paused, and Redis counts
        it as a receiver from then on.
        """
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await fresh.open(self._redis, tick, asks_run_id=self._asks_run_id)
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await fresh.begun()
        except TimeoutError:
            async with asyncio.timeout(_READ_SECONDS):
                await fresh.begun()

    async def _back_off(
        self, current: Subscription | None, listener: Listener
    ) -> Subscription | None:
        """Wait before the next attempt, and close a connection that ends meanwhile."""
        self._attempts += 1
        seconds = backoff_seconds(self._attempts, random.random())
        if current is None:
            await asyncio.sleep(seconds)
            return None
        try:
            async with asyncio.timeout(seconds):
                await current.disconnected()
        except TimeoutError:
            return current
        except RedisMoved:
            await asyncio.sleep(seconds)
            return current
        except FAULTS as error:
            await self._drop(current, listener, error)
        return None

    async def _change_over(self, old: Subscription, listener: Listener) -> None:
        """Read an old connection up to where the new one begins."""
        try:
            async with asyncio.timeout(_CHANGE_SECONDS):
                await old.ended()
        except (TimeoutError, *FAULTS):
            listener.interrupted(is_lossy=True)
        await old.close()

    async def _await_end(self, current: Subscription, listener: Listener) -> Subscription | None:
        """Wait until it is lost, silent, retired or superseded; return it if it may bring more."""
        while True:
            silent_at = self._last_received_at + SILENCE_SECONDS
            try:
                async with asyncio.timeout(max(0.0, silent_at - time.monotonic())):
                    await current.disconnected()
            except TimeoutError:
                await asyncio.sleep(_READ_SECONDS)
                if time.monotonic() - self._last_received_at > SILENCE_SECONDS:
                    self._note_disconnected("silent", "no heartbeat received")
                    return current
            except RedisMoved as error:
                logger.info("subscribing again", reason=str(error))
                return current
            except FAULTS as error:
                if self.is_retired:
                    return current
                self._note_disconnected("connection", str(error))
                await self._drop(current, listener, error)
                self._attempts += 1
                await asyncio.sleep(backoff_seconds(self._attempts, random.random()))
                return None

    async def _drop(self, current: Subscription, listener: Listener, error: Exception) -> None:
        # If Redis closed the connection behind a whole message, all that it counted has arrived.
        is_orderly = type(error) is ConnectionError
        listener.interrupted(is_lossy=not is_orderly)
        await current.close()

    def _note_active(self) -> None:
        if self.has_subscribed and self.disconnected_at is not None:
            logger.info("subscribed to Redis again")
        self.disconnected_at, self.has_subscribed = None, True
        self._last_received_at, self._attempts = time.monotonic(), 0

    def _note_disconnected(self, reason: str, error: str) -> None:
        if self.disconnected_at is None or not self.has_subscribed:
            self._metrics.redis_reconnects.labels(reason).inc()
            logger.warning("no Redis subscription, reconnecting", reason=reason, error=error)
        if self.disconnected_at is None:
            self.disconnected_at = time.monotonic()

    def _note_heartbeat(self) -> None:
        self._last_received_at = time.monotonic()
        if self.disconnected_at is not None and self.has_subscribed:
            self._note_active()  # it was only silent
