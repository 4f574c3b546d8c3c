"""Who is online anywhere in the cluster, kept in Redis by each pod for its own users.

Each pod owns one sorted set of user ids that lives as long as the pod refreshes it, so a killed
pod's users fade. Beside it is a version that rises with every write: by that a pod finds out that
Redis has lost its users, or has gone back to earlier ones. Who is connected here is told from
outside; nothing here knows sockets.

Pods are compared by Redis' clock alone. The wall clocks of pods may differ by minutes: a pod that
used its own would see half of the cluster offline, or make others see its users offline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from constellation_ws.chats.life_signs import LIFETIME_SECONDS, LifeSigns
from constellation_ws.chats.neighbours import Announcer
from constellation_ws.chats.no_announcer import NO_ANNOUNCER
from constellation_ws.messages.events import UserId
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.runtime.turns import paced

logger = structlog.get_logger(__name__)

REFRESH_SECONDS = 5.0
RELOAD_SECONDS = 5.0
"""A user who is back within this was never offline: a page reload is no news."""
_LATELY_SECONDS = 2 * REFRESH_SECONDS
"""A pod that lives has refreshed within this time, unless it or Redis is held up."""
_STEP_SECONDS = 0.25
_CHUNK = 1_000
_MAX_QUESTIONS = 32
"""Questions to Redis at a time; others wait. Each takes a connection of those that all parts share,
of which redis-py has 100."""
_FAULTS = (RedisError, OSError)


class PresenceUnavailable(ConnectionError):
    """Redis did not answer; who is online is not known now."""


@dataclass(frozen=True, slots=True)
class OnlinePage:
    """Users in the order of their ids; `cursor` fetches the next page, None at the end."""

    users: list[UserId]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class _Leaving:
    until: float
    reason: str


class Presence:
    """This pod's share of the cluster's presence, and questions about all of it."""

    def __init__(
        self,
        redis: Redis,
        instance: str,
        names: Names = DEFAULT,
        announcer: Announcer = NO_ANNOUNCER,
        *,
        partitions: int = 1,
    ) -> None:
        """This pod follows so many `partitions` of the log."""
        self._redis = redis
        self._instance = instance
        self._names = names
        self._signs = LifeSigns(names, instance, partitions)
        self._pods_key = names.pods
        self._key = names.users(instance)
        self._version_key = names.users_version(instance)
        self._version = 0
        self._is_lost = False
        """Whether the set in Redis may have other users than it should have."""
        self._here: set[UserId] = set()
        self._announcer = announcer
        self._leaving: dict[UserId, _Leaving] = {}
        self._unsaved: dict[UserId, bool] = {}
        self._has_withdrawn = False
        self._asking = asyncio.Semaphore(_MAX_QUESTIONS)

    def arrive(self, user: UserId) -> None:
        """Note that a user's first socket on this pod is there."""
        self._leaving.pop(user, None)
        if user not in self._here:
            self._here.add(user)
            self._unsaved[user] = True
            self._announcer.came(user)

    def depart(self, user: UserId, reason: str) -> None:
        """Note that a user's last socket on this pod is gone; counts after the reload grace."""
        self._leaving[user] = _Leaving(time.monotonic() + RELOAD_SECONDS, reason)

    @property
    def user_count(self) -> int:
        """Users who are online through this pod."""
        return len(self._here)

    async def run(self) -> None:
        """Write changes and refresh the pod's set, for ever."""
        refresh_at = 0.0
        while True:
            now = time.monotonic()
            await self._let_go(now)
            try:
                if now >= refresh_at and not self._has_withdrawn:
                    await self._refresh()
                    refresh_at = now + REFRESH_SECONDS
                if not self._has_withdrawn:
                    await self._save()
                    if self._is_lost:
                        await self._write_again()
            except _FAULTS as error:
                logger.debug("presence could not be written", error=str(error))
            await asyncio.sleep(_STEP_SECONDS)

    async def withdraw(self) -> None:
        """Leave: this pod's users fade unless they have come back elsewhere in time.

        Nothing is written after it, since every write prolongs this pod's life in Redis.
        """
        self._has_withdrawn = True
        try:
            now = await self._redis_seconds()
            async with self._redis.pipeline(transaction=False) as pipe:
                self._signs.show(pipe, now, now + RELOAD_SECONDS)
                pipe.expire(self._key, int(RELOAD_SECONDS))
                await pipe.execute()
        except _FAULTS as error:
            logger.warning("presence could not be removed; it expires by itself", error=str(error))

    async def is_online(self, user: UserId) -> bool:
        """Tell whether the user has a socket on any pod. Raises PresenceUnavailable."""
        if user in self._here:
            return True
        async with self._question() as pipe:
            for key in await self._keys():
                pipe.zscore(key, user)
            return any(score is not None for score in await pipe.execute())

    async def online(self, cursor: str, limit: int) -> OnlinePage:
        """List up to `limit` online users after `cursor`. Raises PresenceUnavailable.

        Of the own users only those are added whom Redis does not have yet: to walk over all of them
        would hold up a pod of fifty thousand by some 30 ms for each page.
        """
        start = f"({cursor}" if cursor else "-"
        unsaved = [user for user, is_here in self._unsaved.items() if is_here]
        async with self._question() as pipe:
            for key in await self._keys():
                pipe.zrangebylex(key, start, "+", start=0, num=limit + 1)
            pages = await pipe.execute()
        return _merge(pages, unsaved, cursor, limit)

    async def pods(self) -> frozenset[str]:
        """Name the pods that have lately shown that they live. Raises PresenceUnavailable.

        A pod that was killed is named for some seconds more, one that has withdrawn is not.
        """
        async with self._question():
            return frozenset(await self._alive(LIFETIME_SECONDS - _LATELY_SECONDS))

    @asynccontextmanager
    async def _question(self) -> AsyncIterator[Any]:
        """Give a pipeline, when it is its turn. Raises PresenceUnavailable."""
        try:
            async with self._asking, self._redis.pipeline(transaction=False) as pipe:
                yield pipe
        except _FAULTS as error:
            raise PresenceUnavailable("presence is not known: Redis cannot be reached") from error

    async def _keys(self) -> list[str]:
        """Find the sets of the pods that are alive."""
        return [self._names.users(instance) for instance in await self._alive(0)]

    async def _alive(self, least_seconds: float) -> list[str]:
        """Name the pods that count as alive for at least so long."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrangebyscore(self._pods_key, "-inf", "+inf", withscores=True)
            (seconds, microseconds), pods = await pipe.execute()
        until = seconds + microseconds / 1e6 + least_seconds
        return [instance.decode() for instance, lives_until in pods if lives_until >= until]

    async def _redis_seconds(self) -> float:
        """Give Redis' time: the only clock by which pods are compared."""
        seconds, microseconds = await self._redis.time()
        return float(seconds + microseconds / 1e6)

    async def _let_go(self, now: float) -> None:
        """Let those go whose grace is over; in order of leaving, so the first may end the walk."""
        async for user, leaving in paced(list(self._leaving.items())):
            if leaving.until > now:
                break
            if self._leaving.get(user) is not leaving:
                continue  # came back while others had their turn
            del self._leaving[user]
            self._here.discard(user)
            self._unsaved[user] = False
            self._announcer.went(user, leaving.reason)

    async def _save(self) -> None:
        """Write who came and went until now; what fails stays to be written.

        Whoever comes meanwhile is written at the next step, with all others: in a storm of connects
        it would else be a handful each time, without end.
        """
        changes = list(self._unsaved.items())
        for start in range(0, len(changes), _CHUNK):
            chunk = dict(changes[start : start + _CHUNK])
            await self._write(chunk)
            for user, was in chunk.items():
                if self._unsaved.get(user) is was:
                    del self._unsaved[user]

    async def _write(self, changes: dict[UserId, bool]) -> None:
        came = [user for user, is_here in changes.items() if is_here]
        went = [user for user, is_here in changes.items() if not is_here]
        version = self._version + 1
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._version_key)
            if came:
                pipe.zadd(self._key, dict.fromkeys(came, 0))
            if went:
                pipe.zrem(self._key, *went)
            pipe.expire(self._key, LIFETIME_SECONDS)
            pipe.set(self._version_key, version, ex=LIFETIME_SECONDS)
            found, *_ = await pipe.execute()
        self._compare(found)
        self._version = version

    async def _refresh(self) -> None:
        """Show that this pod lives; write its users again where Redis has lost them."""
        now = await self._redis_seconds()
        async with self._redis.pipeline(transaction=False) as pipe:
            self._signs.show(pipe, now, now + LIFETIME_SECONDS)
            pipe.zremrangebyscore(self._names.readers, "-inf", now)
            pipe.zremrangebyscore(self._pods_key, "-inf", now - LIFETIME_SECONDS)
            pipe.expire(self._key, LIFETIME_SECONDS)
            pipe.expire(self._version_key, LIFETIME_SECONDS)
            pipe.get(self._version_key)
            pipe.zrangebyscore(self._pods_key, now + LIFETIME_SECONDS + 1, "+inf")
            pipe.zcard(self._key)
            *_, version, early, stored = await pipe.execute()
        if early:  # the clock went back: a pod that died before would count as alive for too long
            lives_until = now + LIFETIME_SECONDS
            await self._redis.zadd(self._pods_key, dict.fromkeys(early, lives_until))
        saved = len(self._here) - sum(self._unsaved.get(user, False) for user in self._here)
        self._compare(version)
        if stored < saved:
            self._is_lost = True

    def _compare(self, version: bytes | None) -> None:
        """Compare the version in Redis with the last one that is known to be written."""
        found = int(version) if version is not None and version.isdigit() else 0
        if found < self._version:
            self._is_lost = True

    async def _write_again(self) -> None:
        """Write everybody at the next step, and remove who is in Redis and not here."""
        start, redis = "-", cast("Any", self._redis)
        while page := await redis.zrangebylex(self._key, start, "+", 0, _CHUNK):
            users = [UserId(raw.decode()) for raw in page]
            self._unsaved.update((user, False) for user in users if user not in self._here)
            start = f"({users[-1]}"
        self._unsaved.update(dict.fromkeys(self._here, True))
        self._is_lost = False


def _merge(
    pages: Sequence[Iterable[bytes]], unsaved: Iterable[UserId], cursor: str, limit: int
) -> OnlinePage:
    """Merge the pods' pages and who is in none yet; bytes sort as Redis sorts them."""
    found, after = {user for page in pages for user in page}, cursor.encode()
    found.update(encoded for user in unsaved if (encoded := user.encode()) > after)
    ordered = sorted(found)
    users = [UserId(user.decode()) for user in ordered[:limit]]
    return OnlinePage(users, users[-1] if len(ordered) > limit else None)
