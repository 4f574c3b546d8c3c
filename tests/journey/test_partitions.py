"""A log of one partition, and of three on three primaries of a Redis Cluster: nothing is lost.

Each test is for both. Events of a chat keep their order; what breaks one partition leaves the
others alone. Tests of one number share three pods, and all tests the cluster: who kills a node
revives it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from constellation_ws.redis_io.names import Names
from tests.forwarder import Forwarder, forwarder
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClient, JsClients
from tests.nest_client import NestClient, nest_client
from tests.partitions import LOG_PARTITIONS, log_of, names_of, partition_of
from tests.processes import HOST, Gateway, unused_port
from tests.shards import SHARDS, SLOTS, Shards, shards
from tests.valkeys import LastingValkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PODS = 3
CHANNEL = "chat:newMessage"
QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 300}
_numbers = itertools.count(1)


class Log:
    """The log of one deployment on the cluster."""

    def __init__(self, cluster: Shards, partitions: int, prefix: str) -> None:
        self.cluster = cluster
        self.partitions = partitions
        self.names = Names(prefix)

    @property
    def settings(self) -> dict[str, object]:
        """The settings of its pods."""
        settings: dict[str, object] = {"CONSTELLATION_REDIS_PREFIX": self.names.prefix}
        return settings | ({LOG_PARTITIONS: self.partitions} if self.partitions > 1 else {})

    @property
    def first_slot(self) -> int:
        """The slot of the first partition and of everything that no partition has to itself."""
        return key_slot(self.names.log.encode())

    @property
    def last_slot(self) -> int:
        """The slot of the last partition; where there is one only, a third where no key of it is"""
        if self.partitions == 1:
            return (self.first_slot + SLOTS // SHARDS) % SLOTS
        return key_slot(log_of(self.partitions - 1, self.names).encode())

    def chats(self, mine: str, of_each: int = 2) -> dict[str, int]:
        """Make up so many chats of each partition: their partitions by their IDs."""
        found: dict[str, int] = {}
        for partition in range(self.partitions):
            fitting = (
                chat
                for chat in (f"c{next(_numbers)}{mine}" for _ in itertools.count())
                if partition_of(f"chat:{chat}", self.partitions) == partition
            )
            found |= dict.fromkeys(itertools.islice(fitting, of_each), partition)
        return found

    async def lengths(self) -> list[int]:
        """How many entries each partition has had."""
        return [
            int(await self._ask(partition, "XLEN", log_of(partition, self.names)))
            for partition in range(self.partitions)
        ]

    async def holders(self) -> list[str]:
        """The lease of the recorder of each partition."""
        return [
            str(await self._ask(partition, "HGET", names_of(partition, self.names).state, "holder"))
            for partition in range(self.partitions)
        ]

    async def first_primary(self) -> LastingValkey:
        """The primary of the first partition, where all pods subscribe."""
        return await self.cluster.holder(self.first_slot)

    async def use_all(self) -> None:
        """Let all partitions be in use from the beginning."""
        await self._ask(0, "HSET", self.names.state, "partitions", self.partitions)

    async def width(self) -> int:
        """How many partitions are in use."""
        return int(await self._ask(0, "HGET", self.names.state, "partitions") or 1)

    async def _ask(self, partition: int, *words: object) -> Any:
        slot = key_slot(log_of(partition, self.names).encode())
        async with Redis.from_url((await self.cluster.holder(slot)).url) as redis:
            return await redis.execute_command(*words)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shards]:
    with shards(tmp_path_factory.mktemp("shards")) as cluster:
        await cluster.is_whole()
        yield cluster


@pytest.fixture(scope="module", params=[1, 3])
def log(request: pytest.FixtureRequest, cluster: Shards) -> Log:
    """A log of its own for each number of partitions."""
    return Log(cluster, request.param, f"parts{request.param}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pods(log: Log, gateway: StartGateway) -> AsyncIterator[list[Gateway]]:
    """The pods that most tests of one number share, once all partitions are in use."""
    await log.use_all()
    async with AsyncExitStack() as held:
        pods = await all_started(held, gateway, *[log] * PODS)
        await in_use(log)
        yield pods
        assert await asyncio.gather(*(pod.terminate() for pod in pods)) == [0] * PODS
        assert [line for pod in pods for line in pod.stray_lines()] == []


async def all_started(held: AsyncExitStack, gateway: StartGateway, *logs: Log) -> list[Gateway]:
    """Start a pod for each of the logs, side by side."""
    starts = [gateway(log.cluster.url, **log.settings) for log in logs]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(held.enter_async_context(one)) for one in starts]
    return [task.result() for task in tasks]


async def in_use(log: Log) -> None:
    async def is_wide() -> bool:
        return await log.width() == log.partitions and all(await log.holders())

    await eventually(is_wide, PATIENCE_SECONDS, "all partitions are in use")


class Traffic:
    """Numbered events of each chat, all for one user, in whatever room that is."""

    def __init__(self, user: str, chats: Sequence[str]) -> None:
        self.sent = 0
        """Of each chat."""
        self.chats = chats
        self.doubted: set[tuple[str, int]] = set()
        """What may arrive or not: Redis did not answer."""
        self.is_stopped = False
        self._user = user

    async def run(self) -> None:
        """Publish until stopped: what was begun is ended, so that `sent` is right."""
        while not self.is_stopped:
            await self.once()
            await asyncio.sleep(0.02)

    async def once(self) -> None:
        """Publish the next event of each chat."""
        number = self.sent
        await self._publish(
            {
                chat: {"chatId": chat, "recipientId": self._user, "messageId": number}
                for chat in self.chats
            }
        )
        self.sent += 1

    async def goes_on(self, count: int = 10) -> None:
        """Wait until so many more of each chat have been published."""
        until = self.sent + count
        await eventually(lambda: self.sent >= until, PATIENCE_SECONDS, "more is published")

    async def _publish(self, events: Mapping[str, object]) -> None:
        raise NotImplementedError


class BlindTraffic(Traffic):
    """On any node of the cluster, which says nothing of the subscribers of others."""

    def __init__(self, redis: Redis, user: str, chats: Sequence[str]) -> None:
        super().__init__(user, chats)
        self._publisher = Publisher(redis)

    async def _publish(self, events: Mapping[str, object]) -> None:
        await self._publisher.burst([(CHANNEL, event) for event in events.values()])


class HeardTraffic(Traffic):
    """On the node where pods subscribe: it says whether somebody was reached."""

    def __init__(self, log: Log, user: str, chats: Sequence[str]) -> None:
        super().__init__(user, chats)
        self._log = log

    async def _publish(self, events: Mapping[str, object]) -> None:
        async with Redis.from_url((await self._log.first_primary()).url) as redis:
            for chat, event in events.items():
                try:
                    is_heard = partial(redis.publish, CHANNEL, json.dumps(event))
                    await eventually(is_heard, PATIENCE_SECONDS, "somebody is subscribed")
                except RedisError:
                    self.doubted.add((chat, self.sent))


@asynccontextmanager
async def at(node: LastingValkey, user: str, chats: Sequence[str]) -> AsyncIterator[Traffic]:
    """Traffic that is published on a node, and does not flow yet."""
    async with Redis.from_url(node.url) as redis:
        yield BlindTraffic(redis, user, chats)


@asynccontextmanager
async def flowing(node: LastingValkey, user: str, chats: Sequence[str]) -> AsyncIterator[Traffic]:
    """Traffic that flows all the time."""
    async with at(node, user, chats) as traffic, running(traffic):
        yield traffic


@asynccontextmanager
async def running(traffic: Traffic) -> AsyncIterator[None]:
    task = asyncio.create_task(traffic.run())
    try:
        yield
    finally:
        traffic.is_stopped = True
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await task
        except TimeoutError:
            raise AssertionError(f"number {traffic.sent} is not published") from None


def numbers(client: JsClient, chat: str) -> list[int]:
    """The numbers of the events of a chat that have come, in the order in which they came."""
    return [
        one.payload["messageId"]
        for one in client.received
        if one.event == "new-message" and one.payload["chatId"] == chat
    ]


def latest(client: JsClient, chats: Sequence[str]) -> dict[str, int]:
    """The number of the last event of each chat that has come."""
    return {chat: (numbers(client, chat) or [-1])[-1] for chat in chats}


async def get(clients: Sequence[JsClient], chats: Sequence[str], last: int) -> None:
    """Wait until all clients have got an event of each chat that is not older than this one."""
    for client in clients:
        try:
            await client.until(
                lambda: min(latest(client, chats).values()) >= last, f"{last} of each chat"
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; the latest are {latest(client, chats)}") from None


async def miss_nothing(clients: Sequence[JsClient], traffic: Traffic, connects: int = 1) -> None:
    """See that each event has come once and in order, and that nothing was reported as lost."""
    await get(clients, traffic.chats, traffic.sent - 1)
    for client in clients:
        assert client.recovered == [False, *[True] * (connects - 1)], client
        for chat in traffic.chats:
            assert numbers(client, chat) == list(range(traffic.sent)), chat


async def miss_nothing_silently(clients: Sequence[JsClient], traffic: Traffic) -> None:
    """See that nothing comes twice or out of order, and that what is missing was reported."""
    for client in clients:
        # A loss may be reported last of all, after the last events.
        await client.until(
            lambda: not missed(client, traffic) or False in client.recovered[1:],
            "all events, or a new session",
        )
        for chat in traffic.chats:
            found = numbers(client, chat)
            assert found == sorted(set(found)), chat


def missed(client: JsClient, traffic: Traffic) -> set[tuple[str, int]]:
    """Give what has not come of what certainly was received: each chat, and its numbers."""
    due = {(chat, number) for chat in traffic.chats for number in range(traffic.sent)}
    came = {(chat, number) for chat in traffic.chats for number in numbers(client, chat)}
    return due - came - traffic.doubted


def asks(user: str) -> dict[str, object]:
    return {"userId": user, "recovery": True}


async def clients_of(pods: Sequence[Gateway], js: JsClients, user: str) -> list[JsClient]:
    """A client of one user on each pod."""
    return [await js.connect(pod.chats_url, user=user, auth=asks(user), **QUICK) for pod in pods]


async def through(wire: Forwarder, js: JsClients, user: str) -> JsClient:
    url = f"http://{HOST}:{wire.port}/chats"
    return await js.connect(url, user=user, auth=asks(user), **QUICK)


async def go_away(client: JsClient, wire: Forwarder) -> None:
    """Cut a client off: it tries to come back all the time, and reaches no pod."""
    wire.target = unused_port()
    wire.break_all()
    await client.until(lambda: not client.connected, "the disconnect")


async def come_back(client: JsClient, wire: Forwarder, pod: Gateway) -> None:
    connects = client.connects
    wire.target = pod.ws_port
    await client.until(lambda: client.connects > connects, "a return")


# In calm


async def test_each_partition_lies_on_a_primary_of_its_own(log: Log) -> None:
    slots = [key_slot(log_of(number, log.names).encode()) for number in range(log.partitions)]
    assert len({(await log.cluster.holder(slot)).port for slot in slots}) == log.partitions


async def test_events_of_a_chat_arrive_once_in_order_and_in_its_partition(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    chats = log.chats(mine)
    clients = await clients_of(pods, js, f"bob{mine}")
    guests = [await js.connect(pod.chats_url, user=f"eve{mine}") for pod in pods]
    for guest, chat in itertools.product(guests, chats):
        await guest.join(chat)
    async with flowing(log.cluster.nodes[0], f"bob{mine}", list(chats)) as traffic:
        await traffic.goes_on(30)
    await miss_nothing([*clients, *guests], traffic)
    for partition in range(log.partitions):
        before = await log.lengths()
        own = [chat for chat, found in chats.items() if found == partition]
        async with at(log.cluster.nodes[0], f"bob{mine}", own) as traffic:
            traffic.sent = 1_000
            await traffic.once()
        await get(clients, own, 1_000)
        grown = [now > then for now, then in zip(await log.lengths(), before, strict=True)]
        assert grown == [number == partition for number in range(log.partitions)]


async def test_what_is_asked_over_tcp_arrives_once_and_in_order_from_any_pod(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    chats = log.chats(mine)
    clients = await clients_of(pods, js, f"bob{mine}")
    async with AsyncExitStack() as held:
        ports = [await held.enter_async_context(nest_client(pod.tcp_port)) for pod in pods]
        for number, nest in zip(range(20), itertools.cycle(ports), strict=False):
            for chat in chats:
                await say(nest, f"bob{mine}", chat, number)
    await get(clients, list(chats), 19)
    for client, chat in itertools.product(clients, chats):
        assert numbers(client, chat) == list(range(20))


async def test_a_pod_without_a_log_delivers_what_is_appended_to_any_partition(
    log: Log, pods: list[Gateway], gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """As in a roll-out from one mode of delivery to the other."""
    chats = log.chats(mine)
    settings = {**log.settings, "CONSTELLATION_DELIVERY": "live"}
    async with gateway(log.cluster.url, **settings) as live, nest_client(pods[0].tcp_port) as nest:
        guest = await js.connect(live.chats_url, user=f"eve{mine}")
        for chat in chats:
            joined = {"userId": f"eve{mine}", "roomName": f"chat:{chat}"}
            await nest.ask("joinRoom", joined)
        for number, chat in itertools.product(range(5), chats):
            await say(nest, f"bob{mine}", chat, number)
        await get([guest], list(chats), 4)
        for chat in chats:
            assert numbers(guest, chat) == list(range(5))
        assert live.log("dropped a malformed command") == []


async def say(nest: NestClient, user: str, chat: str, number: int) -> None:
    event = {"chatId": chat, "recipientId": user, "messageId": number}
    assert await nest.ask(CHANNEL, event) == {"accepted": True}


# Away


async def test_a_client_that_was_away_gets_what_it_missed_of_every_partition_on_another_pod(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    user, (a, b, _) = f"bob{mine}", pods
    async with (
        forwarder(a.ws_port) as wire,
        flowing(log.cluster.nodes[0], user, list(log.chats(mine))) as traffic,
    ):
        client, (witness,) = await through(wire, js, user), await clients_of([b], js, user)
        await get([client, witness], traffic.chats, 5)
        first = min(numbers(client, chat)[0] for chat in traffic.chats)
        await go_away(client, wire)
        await get([witness], traffic.chats, traffic.sent + 20)
        await come_back(client, wire, b)
        await get([client], traffic.chats, traffic.sent + 5)
        assert client.recovered == [False, True]
        for chat in traffic.chats:
            found = numbers(client, chat)
            assert found == list(range(found[0], found[-1] + 1)), chat
            assert found[0] - first <= 1, "the connect came between the chats of one round"


async def test_rooms_that_were_joined_and_left_while_away_count_from_then_on(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    user, (a, b, c) = f"bob{mine}", pods
    old, new = list(log.chats(mine, of_each=1)), list(log.chats(mine, of_each=1))
    async with forwarder(a.ws_port) as wire, nest_client(c.tcp_port) as nest:
        client = await through(wire, js, user)
        for chat in old:
            await client.join(chat)
        await go_away(client, wire)
        for left, joined in zip(old, new, strict=True):
            for chat in (left, joined):
                await say(nest, "-", chat, 1)
            for pattern, chat in (("leaveRoom", left), ("joinRoom", joined)):
                await nest.ask(pattern, {"userId": user, "roomName": f"chat:{chat}"})
            for chat in (left, joined):
                await say(nest, "-", chat, 2)
        await come_back(client, wire, b)
        assert client.recovered == [False, True]
        for chat in (*old, *new):
            await say(nest, "-", chat, 3)
        await get([client], new, 3)
        # What goes by one chat has passed all that went by it before.
        for chat in old:
            await say(nest, user, chat, 4)
        await get([client], old, 4)
    assert [numbers(client, chat) for chat in old] == [[1, 4]] * log.partitions
    assert [numbers(client, chat) for chat in new] == [[2, 3]] * log.partitions


# Redis


async def test_a_primary_of_one_partition_that_dies_stops_no_other(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    cluster, user, chats = log.cluster, f"bob{mine}", log.chats(mine)
    others = [
        chat for chat, found in chats.items() if log.partitions == 1 or found < log.partitions - 1
    ]
    clients = await clients_of(pods, js, user)
    # Where the pods subscribe nothing happens.
    async with flowing(await log.first_primary(), user, list(chats)) as traffic:
        await traffic.goes_on()
        victim = await cluster.kill(log.last_slot)
        await get(clients, others, traffic.sent + 10)
        assert await cluster.holder(log.last_slot) is victim, "the others did not wait for it"
        await cluster.is_replaced(log.last_slot, victim)
        await get(clients, list(chats), traffic.sent + 10)
    await miss_nothing_silently(clients, traffic)
    await cluster.revive(victim)


async def test_after_the_death_of_the_first_primary_all_goes_on_and_a_loss_is_reported(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    cluster, user = log.cluster, f"bob{mine}"
    clients = await clients_of(pods, js, user)
    traffic = HeardTraffic(log, user, list(log.chats(mine)))
    async with running(traffic):
        await traffic.goes_on()
        victim = await cluster.kill(log.first_slot)
        await cluster.is_replaced(log.first_slot, victim)
        await get(clients, traffic.chats, traffic.sent + 10)
    await miss_nothing_silently(clients, traffic)
    await cluster.revive(victim)


async def test_an_orderly_failover_of_one_partition_loses_nothing(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    cluster, user = log.cluster, f"bob{mine}"
    clients = await clients_of(pods, js, user)
    async with flowing(await log.first_primary(), user, list(log.chats(mine))) as traffic:
        await traffic.goes_on()
        await cluster.fail_over(log.last_slot)
        await get(clients, traffic.chats, traffic.sent + 10)
    await miss_nothing_silently(clients, traffic)


async def test_a_primary_that_hangs_is_replaced(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    cluster, user = log.cluster, f"bob{mine}"
    clients = await clients_of(pods, js, user)
    async with flowing(await log.first_primary(), user, list(log.chats(mine))) as traffic:
        await traffic.goes_on()
        async with cluster.hanging(log.last_slot) as victim:
            await cluster.is_replaced(log.last_slot, victim)
            await get(clients, traffic.chats, traffic.sent + 10)
        await get(clients, traffic.chats, traffic.sent + 10)
    await miss_nothing_silently(clients, traffic)


async def test_a_slot_that_moves_under_load_loses_nothing(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    cluster, user = log.cluster, f"bob{mine}"
    slot = log.first_slot if log.partitions == 1 else log.last_slot
    clients = await clients_of(pods, js, user)
    async with flowing(cluster.nodes[0], user, list(log.chats(mine))) as traffic:
        await traffic.goes_on()
        move = await cluster.begin_move(slot)
        await traffic.goes_on(20)
        await move.move_all()
        await traffic.goes_on(20)
        await move.finish()
        await get(clients, traffic.chats, traffic.sent + 10)
    await miss_nothing(clients, traffic)


# Pods


async def test_a_recorder_that_stands_still_is_replaced(
    log: Log, pods: list[Gateway], js: JsClients, mine: str
) -> None:
    user, before = f"bob{mine}", await log.holders()
    recorders = [pod for pod in pods if await pod.metric("constellation_recorder")]
    frozen, others = recorders[-1], [pod for pod in pods if pod is not recorders[-1]]
    clients, (its_own,) = await clients_of(others, js, user), await clients_of([frozen], js, user)
    async with flowing(log.cluster.nodes[0], user, list(log.chats(mine))) as traffic:
        await traffic.goes_on()
        frozen.signal(signal.SIGSTOP)
        try:
            await get(clients, traffic.chats, traffic.sent + 10)
            assert await log.holders() != before
        finally:
            frozen.signal(signal.SIGCONT)
        await get([its_own], traffic.chats, traffic.sent + 10)
    await miss_nothing([*clients, its_own], traffic)


async def test_pods_are_rolled_to_more_partitions_and_nobody_misses_anything_silently(
    log: Log, cluster: Shards, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user, prefix = f"bob{mine}", f"rolled{log.partitions}"
    narrow, wide = Log(cluster, 1, prefix), Log(cluster, log.partitions, prefix)
    async with AsyncExitStack() as held:
        old = await all_started(held, gateway, narrow, narrow)
        wires = [await held.enter_async_context(forwarder(pod.ws_port)) for pod in old]
        clients = [await through(wire, js, user) for wire in wires]
        node, chats = cluster.nodes[0], list(wide.chats(mine))
        traffic = await held.enter_async_context(flowing(node, user, chats))
        new = await all_started(held, gateway, wide, wide)
        for wire, pod, successor in zip(wires, old, new, strict=True):
            wire.target = successor.ws_port
            assert await pod.terminate() == 0
            await get(clients, chats, traffic.sent + 5)
        await in_use(wide)
        await get(clients, chats, traffic.sent + 10)
        before = await wide.lengths()
        await traffic.goes_on(2)

        async def all_grow() -> bool:
            grown = zip(await wide.lengths(), before, strict=True)
            return all(now > then for now, then in grown)

        await eventually(all_grow, PATIENCE_SECONDS, "all partitions are written")
        await traffic.goes_on()
        await get(clients, chats, traffic.sent)
        for client in clients:
            # Pods with more partitions cannot resume a session of those with fewer, and say so.
            is_reported = log.partitions > 1 and client.recovered == [False, False]
            assert is_reported or client.recovered == [False, True]
            for chat in chats:
                found = numbers(client, chat)
                assert found == sorted(set(found)), chat
                assert is_reported or len(found) == found[-1] - found[0] + 1, chat
