"""One subscribed connection, and the change to the next one without a loss.

A tick is sent in the same write as SUBSCRIBE, so it is the first message of a subscription. The
connection that is replaced receives it as well: it is read up to that tick, and the new one from
the tick on. So nothing is missed or received twice, however long Redis was silent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import hiredis
from redis.asyncio import Redis

from constellation_ws.redis_io.link import Link, open_subscription
from constellation_ws.redis_io.names import Names

Published = tuple[bytes, bytes]
"""One message from Redis as it came: channel and payload. A bare tuple: one is made per message."""

Deliver = Callable[[list[Published]], None]


class Listener(Protocol):
    """Who consumes what is published."""

    def receive(self, batch: list[Published]) -> None:
        """Receive one read from Redis, in its order."""

    def interrupted(self, *, is_lossy: bool) -> None:
        """Note that messages may be missing from here on.

        `is_lossy` where Redis may have counted this process as a receiver of some that never came.
        """

    def change(self, *, listens: bool) -> None:
        """Note whether events are among what is received from here on: see `RedisBus.listen`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription is to."""

    channels: tuple[str, ...]
    patterns: tuple[str, ...]
    has_events: bool
    """Whether the channels of events are among these, and not only what is never recorded."""


class Subscription:
    """One connection and what it receives. `close` must be called."""

    def __init__(
        self,
        own: Mapping[str, Callable[[bytes], None]],
        names: Names,
        admits: Callable[[bytes, bytes], bool],
        wanted: Wanted,
    ) -> None:
        """`own` are the channels of this process, and who handles their messages.

        `admits` returns of a channel and its payload, received by a pattern, whether to deliver it.
        """
        self.wanted = wanted
        self._own = {name.encode(): receive for name, receive in own.items()}
        self._admits = admits
        self._ticks = names.ticks.encode()
        self._held = AsyncExitStack()
        self._link: Link | None = None
        self.run_id = ""
        """Which start of which Redis it is connected to; empty where a user may not ask."""
        self._awaits_run_id = False
        self._begins_at = b""
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends_at: bytes | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaves = False
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deliver: Deliver | None = None
        self._early: list[Published] = []
        """Messages that were received before `deliver_to`."""

    @property
    def is_superseded(self) -> bool:
        """Whether another Redis is to be used; then the next subscription is due."""
        return self._link is not None and self._link.is_superseded

    async def open(self, redis: Redis, tick: bytes, *, asks_run_id: bool) -> None:
        """Subscribe; `begun` says when that is done. Raises what FAULTS names.

        `asks_run_id` says whether to learn `run_id`, which takes the permission for INFO.
        """
        self._begins_at = tick
        self._link = await self._held.enter_async_context(open_subscription(redis, self._receive))
        # One connection for both: all messages have their positions in the same stream.
        patterns = self.wanted.patterns
        by_pattern = [("PSUBSCRIBE", *patterns)] if patterns else []
        self._awaits_run_id = asks_run_id
        self._link.send_together(
            *([("INFO", "server")] if asks_run_id else []),
            ("SUBSCRIBE", *self.wanted.channels),
            *by_pattern,
            ("PUBLISH", self._ticks, tick),
        )

    async def begun(self) -> None:
        """Wait for the tick that is its first message. Raises as `disconnected`."""
        assert self._link is not None, "opened"
        await self._link.answer(self._begun)

    def deliver_to(self, deliver: Deliver) -> None:
        """Deliver what has been received, and from now on every read."""
        self._deliver = deliver
        early, self._early = self._early, []
        if early:
            deliver(early)

    def end_at(self, tick: bytes) -> None:
        """Deliver nothing from this tick on: it is the first message of the next subscription."""
        self._ends_at = tick

    def continue_delivery(self) -> None:
        """Deliver as before: there is no next subscription yet."""
        self._ends_at = None

    async def ended(self) -> None:
        """Wait until it has delivered all before the tick of `end_at`. Raises as `disconnected`."""
        assert self._link is not None, "opened"
        await self._link.answer(self._ended)

    async def disconnected(self) -> None:
        """Wait until the connection has ended or is superseded. Raises why, as a link does."""
        assert self._link is not None, "opened"
        await self._link.disconnected()

    def supersede(self, reason: str) -> None:
        """Have another subscription opened; this one is read until then."""
        if self._link is not None:
            self._link.supersede(reason)

    async def leave(self) -> None:
        """Unsubscribe, and wait until all has arrived that was sent before. Raises as a link does.

        Redis counts a subscriber until it has read that; who only closes the connection never
        reads what comes in between. Nor does a user who may not unsubscribe, from Redis' reply on.
        """
        assert self._link is not None, "opened"
        self._leaves = True
        self._link.send_together(("UNSUBSCRIBE",), ("PUNSUBSCRIBE",))
        await self._link.answer(self._left)

    def end(self) -> None:
        """End the connection with an error: it is no longer needed."""
        if self._link is not None:
            self._link.fail(ConnectionError("the subscription was ended"))

    async def close(self) -> None:
        """Close the connection."""
        await self._held.aclose()

    def _receive(self, parser: hiredis.Reader) -> None:
        """Deliver out what has arrived whole; keep what is ours, pass the rest on as one batch."""
        batch: list[Published] = []
        has_left = False
        while (reply := parser.gets()) is not False:
            if self._awaits_run_id:
                self._awaits_run_id, self.run_id = False, run_id_of(reply)
                continue
            if isinstance(reply, hiredis.ReplyError):
                if self._leaves and str(reply).startswith("NOPERM"):
                    has_left = True
                    continue
                raise ConnectionError(f"Redis refused the subscription: {reply}")
            if type(reply) is int:
                continue  # how many have received our tick
            if reply[0] != b"message":
                if reply[0] == b"pmessage":
                    _, _, channel, payload = reply
                    if self._admits(channel, payload):
                        batch.append((channel, payload))
                elif reply[0] == b"punsubscribe":
                    has_left = reply[2] == 0  # of each kind no channel is left
                continue  # or a confirmed channel
            _, channel, payload = reply
            if channel == self._ticks and self._is_end(payload):
                self._pass(batch)
                self._finish()
                return
            own = self._own.get(channel)
            if own is None:
                batch.append((channel, payload))
            else:
                own(payload)
        self._pass(batch)
        if has_left and not self._left.done():
            self._left.set_result(None)

    def _pass(self, batch: list[Published]) -> None:
        if not batch:
            return
        if self._deliver is not None:
            self._deliver(batch)
        else:
            self._early += batch

    def _is_end(self, tick: bytes) -> bool:
        """Note a tick; True where it and all that follows is the next subscription's."""
        if tick == self._begins_at and not self._begun.done():
            self._begun.set_result(None)
        return tick == self._ends_at

    def _finish(self) -> None:
        self._deliver = _discard
        if not self._ended.done():
            self._ended.set_result(None)


def run_id_of(reply: object) -> str:
    """Read the run ID in a reply to INFO; empty where it has none, or is an error."""
    found = re.search(rb"run_id:(\w+)", reply) if isinstance(reply, bytes) else None
    return found[1].decode() if found else ""


def _discard(batch: list[Published]) -> None:
    """The next subscription has received it as well."""
