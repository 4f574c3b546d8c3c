"""All pods subscribe on one node, wherever the slot of their keys is: with a real Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from constellation_ws.redis_io.address import Node
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.link import RedisMoved, open_subscription
from constellation_ws.redis_io.meeting import choose_node
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.redis_io.topology import TopologyReport
from tests.processes import HOST
from tests.valkeys import LastingValkey, RedisCluster, redis_cluster
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

A, B, C = (("a", 1), ("b", 2), ("c", 3))


def report(owner: str, **members: Node) -> TopologyReport:
    return TopologyReport(("owner", 1), 1, (), owner, members)


@pytest.mark.parametrize(
    ("members", "agreed", "node", "name"),
    [
        ({"a": A, "b": B}, "a", "a", "a"),
        ({"a": A, "b": B}, "a", "b", "a"),  # what is agreed counts
        ({"b": B, "c": C}, "a", "b", "b"),  # unless that node has failed
        ({"b": B, "c": C}, "a", "a", "c"),
        ({"a": A, "b": B}, "", "a", "a"),  # nothing is agreed yet
    ],
)
def test_what_is_agreed_counts_as_long_as_that_node_lives(
    members: dict[str, Node], agreed: str, node: str, name: str
) -> None:
    assert choose_node(report("c", **members), agreed, node) == name


class Pod:
    """Subscribes as a gateway does, and again whenever it should."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.endpoint = Endpoint(f"redis+cluster://{HOST}:{cluster.third.port}")
        self.subscriptions = 0
        self.moves = 0

    async def run(self) -> None:
        async with self.endpoint.client(retries=0) as client:
            while True:
                try:
                    async with open_subscription(client, lambda parser: parser.gets()) as link:
                        link.send("SUBSCRIBE", "channel")
                        self.subscriptions += 1
                        await link.disconnected()
                except RedisMoved:
                    self.moves += 1
                except (redis.RedisError, OSError):
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def running(*pods: Pod) -> AsyncIterator[None]:
    works = [work for pod in pods for work in (pod.run(), pod.endpoint.poll())]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await cancelled(tasks)


async def ask(node: LastingValkey, *words: Any) -> Any:
    async with Redis.from_url(node.url) as plain:
        return await plain.execute_command(*words)


async def subscribers(node: LastingValkey) -> int:
    return int((await ask(node, "PUBSUB", "NUMSUB", "channel"))[1])


async def meets(count: int, at: LastingValkey) -> None:
    async def are_there() -> bool:
        return await subscribers(at) == count

    await eventually(are_there, PATIENCE_SECONDS, f"{count} pods are subscribed there")


async def test_pods_stay_on_one_node_while_the_slot_moves_and_newcomers_join_them(
    tmp_path: Path,
) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        first, second, late = Pod(cluster), Pod(cluster), Pod(cluster)
        async with AsyncExitStack() as held:
            await held.enter_async_context(running(first, second))
            await meets(2, cluster.owner)
            await (await cluster.begin_move()).finish()
            await held.enter_async_context(running(late))
            await meets(3, cluster.owner)
            holder = await cluster.holder()
            assert holder is not cluster.owner
            # Redis comes back empty: what was agreed is written again.
            await ask(holder, "FLUSHALL")

            async def is_written() -> bool:
                written: bytes | None = await ask(holder, "GET", DEFAULT.meeting)
                return written == (await cluster.name(cluster.owner)).encode()

            await eventually(is_written, PATIENCE_SECONDS, "it is written again")
            assert (first.moves, second.moves, late.moves) == (0, 0, 0)
            # Another pod could not connect there and went elsewhere: all follow.
            await ask(holder, "SET", DEFAULT.meeting, await cluster.name(cluster.third))
            await meets(3, cluster.third)
            assert (first.moves, second.moves, late.moves) == (1, 1, 1)


async def test_pods_leave_a_node_that_is_cut_off_or_gone_and_meet_on_another(
    tmp_path: Path,
) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        pods = Pod(cluster), Pod(cluster)
        async with running(*pods):
            await meets(2, cluster.owner)
            await cluster.cut_off(cluster.owner)
            await meets(2, cluster.replica)
            assert await subscribers(cluster.owner) == 0
            name = await cluster.name(cluster.third)
            await ask(cluster.replica, "SET", DEFAULT.meeting, name)
            await meets(2, cluster.third)
            cluster.third.kill()
            await meets(2, cluster.replica)
