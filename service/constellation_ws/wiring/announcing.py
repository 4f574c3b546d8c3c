"""Whether online and offline are announced to a backend, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from redis.asyncio import Redis

from constellation_ws.announcing.announcer import Announcer
from constellation_ws.announcing.outbox import Outbox
from constellation_ws.announcing.poster import Poster
from constellation_ws.announcing.receiver import Receiver
from constellation_ws.announcing.record import Record
from constellation_ws.chats.no_announcer import NO_ANNOUNCER
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.names import Names
from constellation_ws.settings.presence import PresenceSettings

Parts = dict[str, Coroutine[Any, Any, None]]


class NotAnnouncing:
    """Nothing is announced, and nothing runs."""

    announcer = NO_ANNOUNCER
    unwritten = unposted = 0

    def parts(self) -> Parts:
        """Nothing has to run."""
        return {}

    async def withdraw(self) -> None:
        """Nothing is there to leave to others."""


class Announcing:
    """Announces in Redis, to whoever reads the stream or subscribes."""

    def __init__(self, redis: Redis, names: Names, instance: str, metrics: Metrics) -> None:
        self.announcer = Announcer(Record(redis, names), instance, metrics)

    @property
    def unwritten(self) -> int:
        """Changes that are not in Redis yet."""
        return self.announcer.unwritten

    @property
    def unposted(self) -> int:
        """Events that this pod is to post."""
        return 0

    def parts(self) -> Parts:
        """Give what has to run."""
        return {"presence events": self.announcer.run()}

    async def withdraw(self) -> None:
        """Leave this pod's users to other pods."""
        await self.announcer.withdraw()


class Posting(Announcing):
    """Posts the stream too."""

    def __init__(
        self, redis: Redis, names: Names, instance: str, metrics: Metrics, receiver: Receiver
    ) -> None:
        super().__init__(redis, names, instance, metrics)
        self._poster = Poster(Outbox(redis, names), receiver, metrics)

    @property
    def unposted(self) -> int:
        """Events that this pod is to post."""
        return self._poster.unposted

    def parts(self) -> Parts:
        """Give what has to run."""
        return {**super().parts(), "presence posts": self._poster.run()}

    async def withdraw(self) -> None:
        """Leave this pod's users, and the posting, to other pods."""
        await asyncio.gather(super().withdraw(), self._poster.release())


def make_announcing(
    settings: PresenceSettings,
    redis: Redis,
    names: Names,
    instance: str,
    metrics: Metrics,
    watches: bool,
) -> Announcing | NotAnnouncing:
    """Make what the settings ask for, and the table: `watches` is whether clients may watch."""
    if settings.presence_events == "off" and not watches:
        return NotAnnouncing()
    if settings.presence_url is None:
        return Announcing(redis, names, instance, metrics)
    receiver = Receiver(settings.presence_url, settings.presence_key.get_secret_value())
    return Posting(redis, names, instance, metrics, receiver)
