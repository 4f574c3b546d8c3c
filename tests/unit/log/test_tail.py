"""XREAD after XREAD, on a real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log import tail as module
from constellation_ws.log.rate import AppendRate
from constellation_ws.log.tail import ReadRefused, Tail
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually


class Reading:
    """A tail with what it has read."""

    def __init__(self, redis: Redis) -> None:
        self.rate = AppendRate()
        self.tail = Tail(redis, DEFAULT, self.rate, lambda: self.after, self._receive)
        self.after = b"0-0"
        self.read: list[bytes] = []
        self.replies = 0

    def _receive(self, pairs: list[Any]) -> None:
        self.replies += 1
        for log_id, fields in pairs:
            self.after = log_id
            self.read.append(fields[1])
        self.tail.ask_next()

    async def follow(self) -> None:
        async with self.tail.opened() as link:
            await link.disconnected()


async def test_each_entry_is_read_once_and_in_order(redis: Redis) -> None:
    one = Reading(redis)
    task = asyncio.create_task(one.follow())
    for number in range(20):
        await redis.xadd(DEFAULT.log, {"n": str(number)})
    await eventually(lambda: len(one.read) == 20, PATIENCE_SECONDS, "all are read")
    await cancelled([task])
    assert one.read == [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("is_high", [False, True])
async def test_while_appends_return_entries_nothing_is_asked_for(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, is_high: bool
) -> None:
    """At a high rate appends keep a distance: it is waited for longer than that."""
    name = "_QUIET_AT_HIGH_RATE_SECONDS" if is_high else "_QUIET_SECONDS"
    monkeypatch.setattr(module, name, 10 * PATIENCE_SECONDS)
    one = Reading(redis)
    one.rate.is_high = is_high
    one.tail.note_appended()
    task = asyncio.create_task(one.follow())
    await eventually(lambda: one.replies == 1, PATIENCE_SECONDS, "the first reply")
    await redis.xadd(DEFAULT.log, {"n": "0"})
    await redis.ping()
    assert (one.replies, one.read) == (1, [])
    await cancelled([task])


async def test_a_redis_that_does_not_reply_is_noticed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "_FIRST_BLOCK_MILLISECONDS", 60_000)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(TimeoutError):
            await Reading(redis).follow()


async def test_a_refusal_is_raised_in_redis_own_words(redis: Redis, valkey: Valkey) -> None:
    await redis.acl_setuser(
        "blind", enabled=True, nopass=True, commands=["+@all", "-xread"], keys=["*"]
    )
    async with Redis.from_url(valkey.url, username="blind", password="any") as blind:
        with pytest.raises(ReadRefused) as caught:
            await Reading(blind).follow()
    assert caught.value.reply.startswith("NOPERM")


async def test_the_connection_can_be_ended_with_an_error(redis: Redis) -> None:
    one = Reading(redis)
    task = asyncio.create_task(one.follow())
    await eventually(lambda: one.replies, PATIENCE_SECONDS, "it follows")
    one.tail.fail(ConnectionError("look again"))
    with pytest.raises(ConnectionError, match="look again"):
        await task
