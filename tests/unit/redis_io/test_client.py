"""Commands and links that follow our keys through a real Cluster whose slot is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, TryAgainError

from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.link import (
    FAULTS,
    Link,
    RedisMoved,
    make_client,
    open_link,
    open_subscription,
)
from tests.forwarder import forwarder
from tests.processes import HOST
from tests.valkeys import OURS, LastingValkey, RedisCluster, SlotMove, lasting_valkey, redis_cluster
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

LOG = "constellation:events"
ONE, TWO, ABSENT = (f"{{{LOG}}}:{name}" for name in ("one", "two", "absent"))
_SHARED = "return {redis.call('GET', KEYS[1]), redis.call('INCR', KEYS[2])}"


@pytest.fixture
async def followed(cluster: RedisCluster) -> AsyncIterator[Redis]:
    async with client_of(cluster) as client:
        yield client


def client_of(cluster: RedisCluster, retries: int = 0) -> Redis:
    return make_client(f"redis+cluster://{HOST}:{cluster.third.port}", retries=retries)


@asynccontextmanager
async def moving(cluster: RedisCluster) -> AsyncIterator[SlotMove]:
    """A slot on its way, which arrives in the end."""
    move = await cluster.begin_move()
    try:
        yield move
    finally:
        await move.finish()


async def on(node: LastingValkey, *words: Any) -> Any:
    async with Redis.from_url(node.url) as plain:
        return await plain.execute_command(*words)


async def test_a_key_is_used_where_it_is_and_a_new_one_where_it_will_be(
    cluster: RedisCluster, followed: Redis
) -> None:
    await followed.set(ONE, "1")
    async with moving(cluster) as move:
        assert await followed.incr(ONE) == 2
        assert await followed.get(ABSENT) is None
        assert await followed.set(TWO, "1", nx=True)
        assert await on(move.source, "CLUSTER", "COUNTKEYSINSLOT", OURS) == 1
        await move.move(ONE)
        assert await followed.incr(ONE) == 3
    assert await followed.incr(ONE) == 4
    assert await followed.get(TWO) == b"1"


async def test_a_pipeline_follows_each_of_its_commands(
    cluster: RedisCluster, followed: Redis
) -> None:
    await followed.set(ONE, "1")
    async with moving(cluster), followed.pipeline(transaction=False) as pipe:
        pipe.incr(ONE)
        pipe.set(TWO, "a")
        pipe.get(TWO)
        pipe.zrange(ABSENT, 0, -1, withscores=True)
        assert await pipe.execute() == [2, True, b"a", []]
    async with followed.pipeline(transaction=False) as pipe:
        pipe.get(ONE)
        pipe.get(TWO)
        assert await pipe.execute() == [b"2", b"a"]


async def test_an_error_of_a_pipeline_is_raised_or_given_as_without_a_cluster(
    cluster: RedisCluster, followed: Redis
) -> None:
    async with moving(cluster):
        async with followed.pipeline(transaction=False) as pipe:
            pipe.set(ONE, "no number")
            pipe.incr(ONE)
            with pytest.raises(redis.ResponseError, match="not an integer"):
                await pipe.execute()
        async with followed.pipeline(transaction=False) as pipe:
            pipe.incr(ONE)
            (error,) = await pipe.execute(raise_on_error=False)
        assert isinstance(error, redis.ResponseError)


async def test_a_script_follows_its_key_to_nodes_that_have_never_seen_it(
    cluster: RedisCluster, followed: Redis
) -> None:
    source = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
    increase: Any = followed.register_script(source)
    for node in (cluster.owner, cluster.elsewhere):
        await on(node, "SCRIPT", "FLUSH")
    assert await increase(keys=[ONE], args=[1]) == 1
    async with moving(cluster) as move:
        await move.move(ONE)
        assert await increase(keys=[ONE], args=[1]) == 2
        async with followed.pipeline(transaction=False) as pipe:
            await increase(keys=[ONE], args=[1], client=pipe)
            await increase(keys=[TWO], args=[5], client=pipe)
            assert await pipe.execute() == [3, 5]
    await on(await cluster.holder(), "SCRIPT", "FLUSH")
    assert await increase(keys=[ONE], args=[1]) == 4
    with pytest.raises(NoScriptError):
        await followed.evalsha("0" * 40, 1, ONE)


async def test_keys_on_two_nodes_are_waited_for_and_the_refusal_is_raised_in_the_end(
    cluster: RedisCluster, followed: Redis
) -> None:
    await followed.mset({ONE: "1", TWO: "1"})
    shared: Any = followed.register_script(_SHARED)
    async with moving(cluster) as move:
        assert await shared(keys=[ONE, TWO]) == [b"1", 2]
        await move.move(ONE)
        with pytest.raises(TryAgainError):
            await shared(keys=[ONE, TWO])
        waiting = asyncio.create_task(shared(keys=[ONE, TWO]))
        await move.move(TWO)
        assert await waiting == [b"1", 3]
    assert await shared(keys=[ONE, TWO]) == [b"1", 4]


async def test_a_slot_that_moves_atomically_is_followed_without_an_error(
    cluster: RedisCluster, followed: Redis
) -> None:
    count = 0
    moved = asyncio.create_task(cluster.move_atomically())
    while not moved.done():
        await followed.incr(ONE)
        count += 1
    await moved
    async with followed.pipeline(transaction=False) as pipe:
        pipe.incr(ONE)
        pipe.incr(ONE)
        assert await pipe.execute() == [count + 1, count + 2]


async def test_a_client_that_may_try_nothing_twice_follows_too(cluster: RedisCluster) -> None:
    async with client_of(cluster, retries=0) as once:
        await once.xadd(LOG, {"n": 1})
        async with moving(cluster):
            await once.xadd(LOG, {"n": 2})
        await once.xadd(LOG, {"n": 3})
        assert await once.xlen(LOG) == 3


class Tail:
    """Follows the log over links, one after the other, as the gateway does."""

    def __init__(self, client: Redis) -> None:
        self.seen: list[bytes] = []
        self.links = 0
        self._client = client
        self._last: bytes = b"0"
        self._link: Link | None = None

    async def run(self) -> None:
        while True:
            with suppress(*FAULTS):
                async with open_link(self._client, self._take, LOG) as self._link:
                    self.links += 1
                    self._ask()
                    await self._link.disconnected()

    def _ask(self) -> None:
        assert self._link is not None
        self._link.send("XREAD", "BLOCK", 200, "STREAMS", LOG, self._last)

    def _take(self, parser: hiredis.Reader) -> None:
        while (reply := parser.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(str(reply))
            if reply:
                entries: Any = next(iter(reply.values()))  # RESP3
                self._last = entries[-1][0]
                self.seen += [fields[1] for _, fields in entries]
            self._ask()


async def test_a_link_follows_the_keys_that_are_read_on_it(
    cluster: RedisCluster, followed: Redis
) -> None:
    tail = Tail(followed)
    sent: list[bytes] = []

    async def add() -> None:
        sent.append(b"%d" % len(sent))
        await followed.xadd(LOG, {"n": sent[-1]})
        await eventually(lambda: tail.seen == sent, PATIENCE_SECONDS, "the link brings it")

    task = asyncio.create_task(tail.run())
    try:
        await add()
        async with moving(cluster) as move:
            await add()
            await move.move(LOG)
            await add()
            await add()
        await add()
        await cluster.move_atomically()
        await add()
    finally:
        await cancelled([task])
    assert tail.links < 10


async def test_a_link_to_keys_that_are_nowhere_yet_is_where_they_will_be(
    cluster: RedisCluster, followed: Redis
) -> None:
    tail = Tail(followed)
    async with moving(cluster):
        task = asyncio.create_task(tail.run())
        try:
            await followed.xadd(LOG, {"n": "1"})
            await eventually(lambda: tail.seen == [b"1"], PATIENCE_SECONDS, "the link brings it")
        finally:
            await cancelled([task])


async def test_no_link_is_opened_where_its_keys_are_on_two_nodes(
    cluster: RedisCluster, followed: Redis
) -> None:
    await followed.mset({ONE: "1", TWO: "1"})
    async with moving(cluster) as move:
        await move.move(ONE)
        with pytest.raises(TryAgainError):
            async with open_link(followed, lambda parser: None, ONE, TWO):
                pass
        async with open_link(followed, lambda parser: None, ONE):
            pass


async def test_a_primary_that_is_cut_off_is_left_although_it_answers(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        endpoint = Endpoint(f"redis+cluster://{HOST}:{cluster.owner.port}")
        heard: list[Any] = []

        def take(parser: hiredis.Reader) -> None:
            while (reply := parser.gets()) is not False:
                heard.append(reply)

        async with endpoint.client(retries=0) as client:
            await client.set(ONE, "1")
            watching = asyncio.create_task(endpoint.poll())
            pop: Any = client.blpop([TWO], 60)
            hanging: asyncio.Task[Any] = asyncio.create_task(pop)
            try:
                async with open_subscription(client, take) as link:
                    link.send("SUBSCRIBE", "channel")
                    await cluster.cut_off(cluster.owner)
                    assert await on(cluster.owner, "SET", ONE, "lost")  # it does not know yet
                    with pytest.raises(RedisMoved, match=str(cluster.replica.port)):
                        await link.disconnected()
                    # It is left by its owner, and not torn down: what it brings still counts.
                    await on(cluster.owner, "PUBLISH", "channel", "last")
                    await eventually(
                        lambda: [b"message", b"channel", b"last"] in heard,
                        PATIENCE_SECONDS,
                        "the last words",
                    )
                with pytest.raises(redis.ConnectionError):
                    await hanging  # long before its own time
                assert await client.get(ONE) == b"1"
                await client.set(ONE, "2")
                assert await on(cluster.replica, "GET", ONE) == b"2"
            finally:
                await cancelled([watching])


async def test_a_replica_is_never_taken_for_the_primary(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        async with client_of(cluster) as client:
            await client.set(ONE, "1")
            await on(cluster.replica, "CLUSTER", "FAILOVER")

            async def is_replica() -> bool:
                return (await on(cluster.owner, "ROLE"))[0] == b"slave"

            await eventually(is_replica, PATIENCE_SECONDS, "the former primary is a replica")
            await client.set(ONE, "2")
            async with open_link(client, lambda parser: None):
                names = str(await on(cluster.replica, "CLIENT", "LIST", "TYPE", "normal"))
            assert names.count("lib-name=redis-py") >= 2


async def test_a_connection_whose_redis_became_a_replica_is_not_used_again(tmp_path: Path) -> None:
    """Behind one name, which leads to the new primary by now."""
    with lasting_valkey(tmp_path / "a") as a, lasting_valkey(tmp_path / "b") as b:
        async with (
            forwarder(a.port) as name,
            make_client(f"redis://{HOST}:{name.port}", retries=0) as client,
        ):
            await client.set(ONE, "1")
            await on(a, "REPLICAOF", HOST, b.port)
            name.target = b.port
            with pytest.raises(ReadOnlyError):
                await client.set(ONE, "2")
            await client.set(ONE, "3")
            assert await on(b, "GET", ONE) == b"3"
