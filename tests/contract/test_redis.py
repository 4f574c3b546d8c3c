"""What the gateway relies on in Redis, checked on the Valkey that tests and `dev` run on.

Each test says which promise of the gateway rests on it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

ODD_IDS = ["-", "+", "(", "[", "(a", "[a", "", "a b", "1", "10", "2", "Б", "а", "🙂", "\U0010ffff"]


@asynccontextmanager
async def subscribed(redis: Redis, *channels: str) -> AsyncIterator[Any]:
    """A subscription that stands."""
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(*channels)

        async def stands() -> bool:
            return all(count > 0 for _, count in await redis.pubsub_numsub(*channels))

        await eventually(stands, PATIENCE_SECONDS, "the subscription stands")
        yield pubsub


async def heard(pubsub: Any, count: int) -> list[tuple[bytes, bytes]]:
    """The next messages, as (channel, payload)."""
    messages: list[tuple[bytes, bytes]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(messages) < count:
            message = await pubsub.get_message(timeout=PATIENCE_SECONDS)
            if message is not None:
                messages.append((message["channel"], message["data"]))
    return messages


async def test_publish_says_how_many_subscribers_it_reached(redis: Redis) -> None:
    # `disconnectUser` waits for as many answers.
    assert await redis.publish("a", "x") == 0
    async with subscribed(redis, "a"), subscribed(redis, "a", "b"):
        assert await redis.publish("a", "x") == 2
        assert await redis.publish("b", "x") == 1
        assert await redis.publish("A", "x") == 0


async def test_a_subscriber_hears_what_its_own_process_publishes(redis: Redis) -> None:
    # A command is told to every pod, its sender included; the heartbeat comes back to its sender.
    async with subscribed(redis, "a") as pubsub:
        await redis.publish("a", "x")
        assert await heard(pubsub, 1) == [(b"a", b"x")]


async def test_a_publishers_messages_keep_their_order_across_channels(redis: Redis) -> None:
    # Events reach a socket in the order in which they were published.
    channels = ["a", "b", "c"]
    sent = [(random.choice(channels).encode(), b"%d" % number) for number in range(3_000)]
    async with subscribed(redis, *channels) as pubsub:
        async with redis.pipeline(transaction=False) as pipe:
            for channel, payload in sent:
                pipe.publish(channel, payload)
            await pipe.execute()
        assert await heard(pubsub, len(sent)) == sent


async def test_all_subscribers_hear_several_publishers_in_one_order(
    redis: Redis, valkey: Valkey
) -> None:
    # Two pods deliver what the API's instances publish in the same order.
    async with subscribed(redis, "a", "b") as one, subscribed(redis, "a", "b") as other:

        async def publish(channel: str) -> None:
            async with Redis.from_url(valkey.url) as publisher:
                for number in range(300):
                    await publisher.publish(channel, str(number))

        await asyncio.gather(publish("a"), publish("b"))
        assert await heard(one, 600) == await heard(other, 600)


async def test_any_bytes_pass_whole(redis: Redis) -> None:
    payloads = [b"", bytes(range(256)), "Привет 👋".encode(), b"x" * 3_000_000]
    async with subscribed(redis, "a") as pubsub:
        for payload in payloads:
            await redis.publish("a", payload)
        assert await heard(pubsub, len(payloads)) == [(b"a", payload) for payload in payloads]


async def test_a_channel_that_is_subscribed_twice_counts_and_delivers_once(redis: Redis) -> None:
    # The bus knows from the last count that its whole subscription stands.
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("a", "b")
        await pubsub.subscribe("a")
        counts = [(await pubsub.get_message(timeout=PATIENCE_SECONDS))["data"] for _ in range(3)]
        assert counts == [1, 2, 2]
        assert await redis.publish("a", "x") == 1


async def test_a_message_without_a_subscriber_is_lost_for_good(redis: Redis) -> None:
    # Pub/Sub is at most once, and the README says so.
    await redis.publish("a", "before")
    async with subscribed(redis, "a") as pubsub:
        await redis.publish("a", "after")
        assert await heard(pubsub, 1) == [(b"a", b"after")]


async def test_channels_know_no_database_and_keys_do(redis: Redis, valkey: Valkey) -> None:
    # Two deployments on one Redis hear each other whatever their REDIS_DB: each needs its own.
    async with Redis.from_url(valkey.url.removesuffix("/0") + "/1") as other:
        async with subscribed(redis, "a") as pubsub:
            await other.publish("a", "x")
            assert await heard(pubsub, 1) == [(b"a", b"x")]
        await other.set("key", "1")
        assert await redis.get("key") is None


async def test_a_subscription_without_permission_is_refused_with_an_error(
    redis: Redis, valkey: Valkey
) -> None:
    await redis.acl_setuser(
        "api", enabled=True, nopass=True, commands=["+@all"], channels=["chat:*"], reset_keys=True
    )
    async with Redis.from_url(valkey.url, username="api", password="any") as api:
        assert await api.publish("chat:new", "x") == 0
        with pytest.raises(NoPermissionError):
            await api.publish("constellation:commands", "x")
        async with api.pubsub() as pubsub:
            await pubsub.subscribe("user:status")
            with pytest.raises(NoPermissionError):
                await pubsub.get_message(timeout=PATIENCE_SECONDS)


async def test_members_of_one_score_are_ordered_by_their_bytes(redis: Redis) -> None:
    # Pages of `getOnlineUsers` are merged by Python's order of bytes.
    ids = [one.encode() for one in ODD_IDS]
    await redis.zadd("users", dict.fromkeys(ids, 0))
    assert await redis.zrangebylex("users", "-", "+") == sorted(ids)
    for cursor in filter(None, ODD_IDS):
        after = [one for one in sorted(ids) if one > cursor.encode()]
        assert await redis.zrangebylex("users", f"({cursor}", "+") == after
        assert await redis.zrangebylex("users", f"({cursor}", "+", start=0, num=2) == after[:2]


async def test_what_is_not_there_has_no_members_no_score_and_no_life(redis: Redis) -> None:
    # A pod that has never had a user, or whose set has expired, is asked like any other.
    assert await redis.zrangebylex("nothing", "-", "+", start=0, num=5) == []
    assert await redis.zscore("nothing", "u") is None
    assert await redis.zcard("nothing") == 0
    assert await redis.zrem("nothing", "u") == 0
    assert await redis.expire("nothing", 5) is False


async def test_adding_a_member_again_changes_nothing_and_a_score_may_be_raised(
    redis: Redis,
) -> None:
    assert await redis.zadd("pods", {"a": 1, "b": 2}) == 2
    assert await redis.zadd("pods", {"a": 5}) == 0
    assert await redis.zrangebyscore("pods", 2, "+inf") == [b"b", b"a"]
    assert await redis.zrangebyscore("pods", 2.5, "+inf") == [b"a"]
    assert await redis.zremrangebyscore("pods", "-inf", 2) == 1
    assert await redis.zrange("pods", 0, -1) == [b"a"]


async def test_writing_to_a_key_keeps_its_end_and_expire_moves_it(redis: Redis) -> None:
    # A killed pod's set must end although its last write was a moment ago.
    await redis.zadd("users", {"a": 0})
    assert await redis.ttl("users") == -1
    await redis.expire("users", 100)
    await redis.zadd("users", {"b": 0})
    assert 0 < await redis.ttl("users") <= 100
    await redis.expire("users", 5)
    assert 0 < await redis.ttl("users") <= 5
    await redis.zrem("users", "a", "b")
    assert await redis.exists("users") == 0


async def test_an_expired_key_is_gone_for_readers_at_once(redis: Redis) -> None:
    await redis.zadd("users", {"a": 0})
    await redis.pexpire("users", 30)

    async def is_gone() -> bool:
        return await redis.zscore("users", "a") is None

    await eventually(is_gone, PATIENCE_SECONDS, "the key has expired")
    assert await redis.zcard("users") == 0


async def test_commands_of_a_pipeline_run_in_their_order_and_fail_one_by_one(redis: Redis) -> None:
    await redis.set("text", "x")
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zadd("users", {"a": 0})
        pipe.zcard("text")
        pipe.zcard("users")
        added, fault, count = await pipe.execute(raise_on_error=False)
    assert (added, count) == (1, 1)
    assert isinstance(fault, ResponseError)
