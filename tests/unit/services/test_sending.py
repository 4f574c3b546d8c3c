"""What services send leaves in its order, many messages at a time, each with an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.services.sending import Sending
from tests.spawning import spawn
from tests.waiting import PATIENCE_SECONDS, eventually

Message = tuple[str, bytes]


class Redis:
    """Takes batches, each when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.refused: set[bytes] = set()
        self.away_for_batches = 0
        self._gate = asyncio.Event()

    async def send_all(self, messages: Sequence[Message]) -> list[str | RedisUnavailable]:
        self.batches.append(list(messages))
        await self._gate.wait()
        is_away = len(self.batches) <= self.away_for_batches
        return [
            RedisUnavailable("away") if is_away or payload in self.refused else f"id of {payload!r}"
            for _, payload in messages
        ]

    def go_on(self) -> None:
        self._gate.set()

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]


def numbered(count: int) -> list[Message]:
    return [("c", b"%d" % number) for number in range(count)]


async def begun(redis: Redis, batches: int) -> None:
    await eventually(lambda: len(redis.batches) == batches, PATIENCE_SECONDS, "a batch is sent")


async def test_what_comes_while_a_batch_is_under_way_leaves_together_and_in_order() -> None:
    redis = Redis()
    sending = Sending(redis.send_all, spawn)
    messages = numbered(600)
    accepted = [sending.send(*messages[0])]
    await begun(redis, 1)
    accepted += [sending.send(*message) for message in messages[1:]]
    assert not accepted[0].done()
    redis.go_on()
    await asyncio.gather(*accepted)
    assert redis.messages == messages
    assert redis.sizes == [1, 256, 256, 87]
    # And again, after nothing has waited for a while.
    await sending.send("c", b"later")
    assert redis.messages[-1] == ("c", b"later")


async def test_a_batch_of_large_messages_is_bounded_in_bytes() -> None:
    redis = Redis()
    redis.go_on()
    sending = Sending(redis.send_all, spawn)
    large = ("c", b"x" * 900_000)
    await asyncio.gather(*[sending.send(*large) for _ in range(5)])
    assert redis.sizes == [2, 2, 1]


async def test_a_message_that_redis_refuses_costs_itself_only() -> None:
    redis = Redis()
    redis.go_on()
    redis.refused = {b"1"}
    sending = Sending(redis.send_all, spawn)
    accepted = [sending.send(*message) for message in numbered(3)]
    results = await asyncio.gather(*accepted, return_exceptions=True)
    assert [isinstance(one, RedisUnavailable) for one in results] == [False, True, False]


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    redis = Redis()
    sending = Sending(redis.send_all, spawn)
    accepted = [sending.send(*message) for message in numbered(4)]
    await begun(redis, 1)
    late = [sending.send("c", b"given up"), sending.send("c", b"late")]
    late[0].cancel()
    accepted[1].cancel()  # it is under way
    redis.go_on()
    await late[1]
    assert redis.messages == [*numbered(4), ("c", b"late")]


async def test_a_redis_that_does_not_answer_gets_one_message_at_a_time() -> None:
    """What is under way then is lost to its sender: whether it was carried out is not known."""
    redis = Redis()
    redis.away_for_batches = 3
    sending = Sending(redis.send_all, spawn)
    accepted = [sending.send(*message) for message in numbered(2)]
    await begun(redis, 1)
    accepted += [sending.send(*message) for message in numbered(500)]
    redis.go_on()
    results = await asyncio.gather(*accepted, return_exceptions=True)
    assert redis.sizes == [2, 1, 1, 1, 256, 241]
    assert [isinstance(one, RedisUnavailable) for one in results] == [True] * 4 + [False] * 498
    assert redis.messages == [*numbered(2), *numbered(500)]


async def test_the_end_of_what_was_sent_can_be_waited_for() -> None:
    redis = Redis()
    sending = Sending(redis.send_all, spawn)
    await sending.flushed()
    accepted = [sending.send(*message) for message in numbered(300)]
    redis.refused = {b"299"}
    flushed = asyncio.ensure_future(sending.flushed())
    await begun(redis, 1)
    assert not flushed.done()
    redis.go_on()
    await flushed
    assert all(one.done() for one in accepted)
    with pytest.raises(RedisUnavailable):
        await accepted[-1]


async def test_each_message_is_answered_with_its_own_id() -> None:
    redis = Redis()
    redis.go_on()
    sending = Sending(redis.send_all, spawn)

    assert await asyncio.gather(sending.send("c", b"1"), sending.send("c", b"2")) == [
        "id of b'1'",
        "id of b'2'",
    ]
