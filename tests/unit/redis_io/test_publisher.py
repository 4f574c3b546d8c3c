"""Publishing, on a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.unit.redis_io.bus_pods import Pod, running, standing


@pytest.fixture
async def pod(redis: Redis) -> AsyncIterator[Pod]:
    pod = Pod(redis)
    async with running(pod):
        await standing(pod)
        yield pod


async def test_publishing_says_how_many_subscribers_redis_reached(pod: Pod) -> None:
    assert await pod.bus.publisher.publish("chat:new", b"{}") == 1
    assert await pod.bus.publisher.publish("nobody listens", b"{}") == 0
