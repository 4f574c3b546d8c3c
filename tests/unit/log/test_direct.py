"""Entries that are written to the log directly, where a deployment keeps none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from constellation_ws.log import direct, direct_partitions
from constellation_ws.log.direct import DirectEntries
from constellation_ws.log.direct_partitions import DirectPartitions
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually, throughout

WINDOW_SECONDS = 60.0


class Follower:
    """What was delivered."""

    def __init__(self, redis: Redis) -> None:
        self.entries = DirectEntries(redis, DEFAULT, WINDOW_SECONDS)
        self.payloads: list[bytes] = []

    def take(self, batch: list[tuple[bytes, bytes]]) -> None:
        self.payloads += [payload for _, payload in batch]


@asynccontextmanager
async def following(redis: Redis) -> AsyncIterator[Follower]:
    one = Follower(redis)
    task = asyncio.create_task(one.entries.run(one.take))
    try:
        await eventually(lambda: one.entries._tail.alive_at, PATIENCE_SECONDS, "it follows")
        yield one
    finally:
        await cancelled([task])


async def append(redis: Redis, data: str, **fields: str) -> None:
    entry: dict[Any, Any] = {"channel": "chat:new", "data": data, **fields}
    await redis.xadd(DEFAULT.log, entry)


async def test_what_a_producer_writes_is_delivered_and_what_a_recorder_writes_is_not(
    redis: Redis,
) -> None:
    """The recorder's were published as well: this pod has received them that way."""
    await append(redis, "of before")
    async with following(redis) as one:
        await append(redis, "1")
        await append(redis, "recorded", at="tick:0")
        await append(redis, "2", traceparent="wrong")
        await eventually(lambda: len(one.payloads) == 2, PATIENCE_SECONDS, "both")
    assert one.payloads == [b"1", b"2"]


async def test_a_lost_connection_is_made_again_and_nothing_is_missed(redis: Redis) -> None:
    async with following(redis) as one:
        for n in range(5):
            await append(redis, str(n))
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await eventually(lambda: len(one.payloads) == 5, PATIENCE_SECONDS, "all five")
    assert one.payloads == [b"0", b"1", b"2", b"3", b"4"]


async def test_what_is_old_is_removed_unless_a_recorder_does_that(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_TRIM_SECONDS", 0.05)
    seconds, _ = await redis.time()

    async def length() -> int:
        return int(await redis.xlen(DEFAULT.log))

    for age in (100, 1):
        entry: dict[Any, Any] = {"channel": "c", "data": "d"}
        await redis.xadd(DEFAULT.log, entry, id=f"{seconds - age}000-0")
    lease: dict[Any, Any] = {"holder": "a.1", "until": str((seconds + 3) * 1000)}
    await redis.hset(DEFAULT.state, mapping=lease)
    async with following(redis):

        async def is_whole() -> bool:
            return await length() == 2

        await throughout(is_whole, 0.5, "a recorder's entries are its own to remove")

        async def is_trimmed() -> bool:
            return await length() == 1

        await eventually(is_trimmed, PATIENCE_SECONDS, "the old entry is removed")


async def test_a_user_that_may_not_read_the_log_is_told_so_and_goes_on(
    redis: Redis, valkey: Valkey
) -> None:
    await redis.acl_setuser(
        "live", enabled=True, nopass=True, commands=["+@all", "-xread"], keys=["*"]
    )
    async with Redis.from_url(valkey.url, username="live", password="any") as live:
        one = Follower(live)
        with capture_logs() as logs:
            task = asyncio.create_task(one.entries.run(one.take))
            reason = await eventually(
                lambda: [line["reason"] for line in logs if line["log_level"] == "warning"],
                PATIENCE_SECONDS,
                "a line says why",
            )
        assert not task.done()
        await cancelled([task])
    assert "NOPERM" in reason[0]


async def test_all_partitions_that_are_in_use_are_followed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod without a log beside pods that record several, also if Redis had lost the number."""
    monkeypatch.setattr(direct_partitions, "_LOOK_SECONDS", 0.05)
    made: list[DirectEntries] = []

    def follow(number: int) -> DirectEntries:
        made.append(DirectEntries(redis, DEFAULT.of_partition(number), WINDOW_SECONDS))
        return made[-1]

    payloads: list[bytes] = []

    def take(batch: list[tuple[bytes, bytes]]) -> None:
        payloads.extend(payload for _, payload in batch)

    task = asyncio.create_task(DirectPartitions(redis, DEFAULT, follow).run(take))
    try:
        for count in (1, 3):
            await redis.hset(DEFAULT.state, "partitions", str(count))
            await eventually(partial(_all_follow, made, count), PATIENCE_SECONDS, "all follow")
            for number in range(count):
                entry: dict[Any, Any] = {"channel": "chat:new", "data": f"{count} {number}"}
                await redis.xadd(DEFAULT.of_partition(number).log, entry)
        await redis.delete(DEFAULT.state)
        await eventually(lambda: len(payloads) == 4, PATIENCE_SECONDS, "all are delivered")
    finally:
        await cancelled([task])
    assert sorted(payloads) == [b"1 0", b"3 0", b"3 1", b"3 2"]


def _all_follow(made: list[DirectEntries], count: int) -> bool:
    return len(made) == count and all(one._tail.alive_at for one in made)
