"""A log in three partitions: what is published is recorded once, whichever pods come, go or die."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from constellation_ws.log.layout import read_entries
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.names import DEFAULT
from tests.journey.conftest import StartGateway
from tests.nest_client import nest_client
from tests.partitions import (
    CHANNEL,
    CHATS,
    LOG_PARTITIONS,
    Published,
    Publishing,
    of_partition,
)
from tests.processes import Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = 3


class Logs:
    """The partitions of the log."""

    def __init__(self, url: str) -> None:
        endpoint = Endpoint(url)
        self._all = [
            (endpoint.of_partition(number).client(retries=5), DEFAULT.of_partition(number))
            for number in range(COUNT)
        ]

    async def aclose(self) -> None:
        for redis, _ in self._all:
            await redis.aclose()

    async def events(self) -> list[list[Published]]:
        found = []
        for redis, names in self._all:
            entries: Any = await redis.xrange(names.log)
            pairs = [(one, [*itertools.chain(*fields.items())]) for one, fields in entries]
            payloads = [json.loads(data) for _, _, data in read_entries(pairs).logged]
            found.append([(event["chatId"], event["number"]) for event in payloads])
        return found

    async def recorders(self) -> list[str]:
        """The pods that hold the leases; empty for a partition that nobody records."""
        found = []
        for redis, names in self._all:
            state: Any = await redis.hmget(names.state, ["holder", "until"])
            holder, until = state
            seconds, _ = await redis.time()
            is_held = holder and float(until or 0) / 1000 > seconds
            found.append(holder.decode().rpartition(".")[0] if is_held else "")
        return found

    async def use_all(self) -> None:
        """Let all partitions be in use from the beginning."""
        redis, names = self._all[0]
        await redis.hset(names.state, "partitions", str(COUNT))

    async def width(self) -> int:
        redis, names = self._all[0]
        return int(await redis.hget(names.state, "partitions") or 1)

    async def are_recorded(self, pods: int) -> None:
        """Wait until all partitions have recorders, spread over so many pods."""

        async def is_so() -> bool:
            counts = Counter(await self.recorders())
            most = -(-COUNT // pods)
            return not counts[""] and max(counts.values()) <= most

        await eventually(is_so, 2 * PATIENCE_SECONDS, "all partitions are recorded, by turns")


async def are_recorded(publishing: Publishing, logs: Logs) -> None:
    """Wait until all that was published is in the logs, and see that it is there once."""

    async def are_there() -> bool:
        return {one for log in await logs.events() for one in log} >= {*publishing.sent}

    await eventually(are_there, PATIENCE_SECONDS, "all events are recorded")
    assert Counter(itertools.chain(*await logs.events())) == Counter(publishing.sent)


def gaps(pods: Sequence[Gateway]) -> list[Any]:
    return [line for pod in pods for line in pod.log("gap in the log")]


@pytest_asyncio.fixture(loop_scope="session")
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield redis


@pytest_asyncio.fixture(loop_scope="session")
async def logs(own_valkey: Valkey) -> AsyncIterator[Logs]:
    logs = Logs(own_valkey.url)
    yield logs
    await logs.aclose()


async def test_a_chat_has_one_partition_and_a_killed_recorder_is_replaced(
    own_valkey: Valkey, redis: Redis, logs: Logs, gateway: StartGateway
) -> None:
    await logs.use_all()
    async with AsyncExitStack() as held:
        starts = [gateway(own_valkey.url, **{LOG_PARTITIONS: COUNT}) for _ in range(COUNT)]
        pods = [await held.enter_async_context(start) for start in starts]
        await logs.are_recorded(COUNT)
        publishing = Publishing(redis)
        async with publishing.going_on():
            await publishing.more(200)
            await pods[0].kill()
            await logs.are_recorded(COUNT - 1)
            await publishing.more(100)
        await are_recorded(publishing, logs)
        for number, log in enumerate(await logs.events()):
            assert log == of_partition(publishing.sent, number, COUNT)
        assert gaps(pods) == []


async def test_a_rollout_from_one_partition_to_three_loses_and_doubles_nothing(
    own_valkey: Valkey, redis: Redis, logs: Logs, gateway: StartGateway
) -> None:
    async with AsyncExitStack() as held:
        old = [await held.enter_async_context(gateway(own_valkey.url)) for _ in range(2)]
        publishing, new = Publishing(redis), list[Gateway]()
        async with publishing.going_on():
            for pod in old:
                start = gateway(own_valkey.url, **{LOG_PARTITIONS: COUNT})
                new.append(await held.enter_async_context(start))
                assert await logs.width() == 1
                assert await pod.terminate() == 0
            await logs.are_recorded(2)
            assert await logs.width() == COUNT
            await publishing.more(100)
        await are_recorded(publishing, logs)
        assert all(await logs.events())
        assert gaps([*old, *new]) == []


async def test_a_pod_with_fewer_partitions_does_not_start_and_says_what_to_set(
    own_valkey: Valkey, logs: Logs, gateway: StartGateway
) -> None:
    await logs.use_all()
    async with gateway(own_valkey.url, **{LOG_PARTITIONS: COUNT}) as first:
        await logs.are_recorded(1)
        async with gateway(own_valkey.url, is_awaited=False, **{LOG_PARTITIONS: 2}) as pod:
            await pod.listening()
            await eventually(partial(_has_ended, pod), PATIENCE_SECONDS, "it ends, never ready")
            (said,) = pod.log("this process ends: a part has failed")
            assert "CONSTELLATION_LOG_PARTITIONS is 2" in said["error"]
            assert "set it to 3 or more, on all pods" in said["error"]
        assert gaps([first]) == []


async def _has_ended(pod: Gateway) -> bool:
    with contextlib.suppress(OSError):
        assert not await pod.is_ready()
    return pod.exit_code == 1


async def test_services_send_into_the_partition_of_the_chat(
    own_valkey: Valkey, logs: Logs, gateway: StartGateway
) -> None:
    await logs.use_all()
    async with gateway(own_valkey.url, **{LOG_PARTITIONS: COUNT}) as pod:
        await logs.are_recorded(1)
        sent = [(number % CHATS, number) for number in range(2 * CHATS)]
        async with nest_client(pod.tcp_port) as nest:
            for chat, number in sent:
                event = {"userId": "u", "chatId": chat, "number": number}
                assert (await nest.ask(CHANNEL, event))["accepted"]
        for number, log in enumerate(await logs.events()):
            assert log == of_partition(sent, number, COUNT)
