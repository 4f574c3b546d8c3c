"""Partitions of the log as tests know them from outside: the setting, and the keys in Redis."""

from __future__ import annotations

import asyncio
import json
from binascii import crc_hqx
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT, Names
from tests.waiting import PATIENCE_SECONDS, eventually

CHANNEL = "chat:new"
CHATS = 12
Published = tuple[int, int]
"""An event's chat, and its number."""
_PAUSE_SECONDS = 0.003

LOG_PARTITIONS = "CONSTELLATION_LOG_PARTITIONS"
"""The setting."""


def names_of(partition: int, names: Names = DEFAULT) -> Names:
    """Give the names of a partition's keys, in a deployment that has these names."""
    return names.of_partition(partition)


def log_of(partition: int, names: Names = DEFAULT) -> str:
    """Give the key of a partition's stream."""
    return names_of(partition, names).log


def partition_of(room: str, partitions: int) -> int:
    """Give the partition of what goes by a room: part of the contract, for producers."""
    return crc_hqx(room.encode(), 0) % partitions


def of_partition(sent: Sequence[Published], partition: int, partitions: int) -> list[Published]:
    """Give what belongs to one of so many partitions."""
    return [one for one in sent if partition_of(f"chat:{one[0]}", partitions) == partition]


class Publishing:
    """Publishes numbers, to each of `CHATS` chats in turn."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.sent: list[Published] = []

    async def some(self, count: int) -> None:
        """Publish so many; each is received by somebody."""
        for _ in range(count):
            assert await self._is_received()

    async def _is_received(self) -> bool:
        """Publish the next one; return whether somebody has received it."""
        number = len(self.sent)
        chat = number % CHATS
        event = json.dumps({"userId": "u", "chatId": chat, "number": number})
        if not await self._redis.publish(CHANNEL, event):
            return False
        self.sent.append((chat, number))
        return True

    async def more(self, count: int) -> None:
        """Wait until so many more have been published meanwhile."""
        wanted = len(self.sent) + count
        await eventually(lambda: len(self.sent) >= wanted, PATIENCE_SECONDS, "more is published")

    @asynccontextmanager
    async def as_long_as_somebody_listens(self) -> AsyncIterator[None]:
        """Publish all the time until nobody has received an event."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_nobody_listens())
            yield

    async def _until_nobody_listens(self) -> None:
        while await self._is_received():
            pass

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Publish all the time."""
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until(ended))
            try:
                yield
            finally:
                ended.set()

    async def _until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self.some(1)
            await asyncio.sleep(_PAUSE_SECONDS)
