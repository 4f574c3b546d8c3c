"""The publishers: PUBLISH, XADD and the TCP port, each with its own numbers and its own order.

Only what was accepted counts. Where an answer is lost it is not known whether it was: such an event
may come or not, and the next attempt has a number of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.redis_names import DEFAULT
from tests.nest_client import NestClient, nest_client

_RETRY_SECONDS = 0.1
_FAULTS = (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)


class Way(Enum):
    """How an event is handed over."""

    PUBLISH = "PUBLISH"
    XADD = "XADD"
    TCP = "TCP"


@dataclass(frozen=True, slots=True)
class Addressed:
    """Whom an event is for."""

    users: frozenset[str]
    rooms: frozenset[str]


@dataclass(slots=True)
class Books:
    """What was handed over."""

    audience: dict[int, Addressed] = field(default_factory=dict)
    accepted: dict[Way, list[int]] = field(default_factory=lambda: {way: [] for way in Way})
    accepted_ms: dict[int, int] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    """Sent, and the answer lost."""
    refused: int = 0

    @property
    def accepted_count(self) -> int:
        return len(self.accepted_ms)


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    channel: str
    data: dict[str, object]
    pattern: str
    """How it is asked for on the TCP port, with `request`."""
    request: dict[str, object]


class Publishers:
    """Three publishers at an even pace until they are told to stop."""

    def __init__(
        self,
        redis_url: str,
        tcp_port: Callable[[], int],
        users: Sequence[str],
        rooms: Sequence[str],
        now_ms: Callable[[], int],
    ) -> None:
        self._redis_url = redis_url
        self._tcp_port = tcp_port
        self._users = users
        self._rooms = rooms
        self._now_ms = now_ms
        self._numbers = itertools.count(1)
        self._random = random.Random(4)
        self._stopping = asyncio.Event()
        self.books = Books()

    def stop(self) -> None:
        """Let each publisher end after the event that it is busy with."""
        self._stopping.set()

    async def run(self, per_second: float) -> None:
        """Publish until `stop`."""
        pause = len(Way) / per_second
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace(Way.PUBLISH, self._publish, pause))
            group.create_task(self._pace(Way.XADD, self._add, pause))
            group.create_task(self._over_tcp(pause))

    async def to_everybody(self) -> int:
        """Add one last event for all users; give its number."""
        number = next(self._numbers)
        data = {"userId": "x", "notifyUsers": list(self._users), "timestamp": number}
        async with self._redis() as redis:
            await redis.xadd(DEFAULT.log, {"channel": "user:status", "data": json.dumps(data)})
        self.books.audience[number] = Addressed(frozenset(self._users), frozenset())
        self.books.accepted[Way.XADD].append(number)
        return number

    def _redis(self) -> Redis:
        # One attempt only: a retry of redis-py's own could append twice.
        return Redis.from_url(self._redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    async def _pace(self, way: Way, send: Callable[[Redis, _Event], object], pause: float) -> None:
        loop = asyncio.get_running_loop()
        async with self._redis() as redis:
            due = loop.time()
            while not self._stopping.is_set():
                await self._hand_over(way, self._make(), lambda event: send(redis, event))
                due = max(due + pause, loop.time() - 1)
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def _over_tcp(self, pause: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopping.is_set():
            try:
                async with nest_client(self._tcp_port()) as nest:
                    while not self._stopping.is_set():
                        is_open = await self._hand_over(
                            Way.TCP, self._make(), lambda event: self._ask(nest, event)
                        )
                        if not is_open:
                            break
                        due = max(due + pause, loop.time() - 1)
                        await asyncio.sleep(max(0.0, due - loop.time()))
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _hand_over(self, way: Way, event: _Event, send: Callable[[_Event], object]) -> bool:
        """Send one event; False where the way is broken."""
        books = self.books
        try:
            is_accepted = await send(event)  # type: ignore[misc]  # each way's own coroutine
        except _FAULTS:
            books.unknown.add(event.number)
            await asyncio.sleep(_RETRY_SECONDS)
            return False
        if is_accepted:
            books.accepted[way].append(event.number)
            books.accepted_ms[event.number] = self._now_ms()
        else:
            books.refused += 1
            books.unknown.add(event.number)
            await asyncio.sleep(_RETRY_SECONDS)
        return True

    async def _publish(self, redis: Redis, event: _Event) -> bool:
        return bool(await redis.publish(event.channel, json.dumps(event.data)))

    async def _add(self, redis: Redis, event: _Event) -> bool:
        entry = {"channel": event.channel, "data": json.dumps(event.data)}
        return bool(await redis.xadd(DEFAULT.log, entry))  # type: ignore[arg-type]  # text is encodable

    async def _ask(self, nest: NestClient, event: _Event) -> bool:
        return bool((await nest.response(event.pattern, event.request))["success"])

    def _make(self) -> _Event:
        """Draw an event: for a user, for a room, or for a room and a user that may be in it."""
        number, draw = next(self._numbers), self._random
        user, room = draw.choice(self._users), draw.choice(self._rooms)
        kind = draw.randrange(3)
        if kind == 0:
            data: dict[str, object] = {"userId": user, "chatId": "c", "timestamp": number}
            return self._note(number, "chat:new", data, user=user)
        if kind == 1:
            data = {"chatId": room, "recipientId": user, "timestamp": number, "text": "x" * 200}
            return self._note(number, "chat:newMessage", data, user=user, room=room)
        data = {"chatId": room, "recipientId": "nobody", "timestamp": number, "text": "Привет 👋"}
        return self._note(number, "chat:newMessage", data, room=room)

    def _note(
        self,
        number: int,
        channel: str,
        data: dict[str, object],
        *,
        user: str | None = None,
        room: str | None = None,
    ) -> _Event:
        users = frozenset([user] if user else [])
        self.books.audience[number] = Addressed(users, frozenset([room] if room else []))
        if user and not room:
            request = {"userId": user, "event": "notice", "data": {"timestamp": number}}
            return _Event(number, channel, data, "sendToUser", request)
        return _Event(number, channel, data, channel, data)
