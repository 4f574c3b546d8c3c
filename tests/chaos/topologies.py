"""Redis as gateways meet it: one server, one that Sentinel watches, and a Redis Cluster.

Lives here: starting what belongs together, and saying where publishers find the primary.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.chaos.clocks import Clock
from tests.chaos.names import LOG_KEY, kind_of
from tests.chaos.servers import APPEND_ONLY, SNAPSHOTS, Server, running
from tests.chaos.tap import Tap, tap
from tests.processes import HOST, unused_port
from tests.valkeys import LastingValkey, RedisCluster
from tests.waiting import PATIENCE_SECONDS, eventually

_DOWN_MS = 1_500
"""After so long without an answer a primary is replaced; a machine that is busy is no failure."""
SLOT = key_slot(LOG_KEY.encode())


class Published(Protocol):
    """Where publishers find Redis."""

    async def primary_port(self) -> int:
        """Where publishers find the log now."""

    async def publish_port(self) -> int:
        """Where PUBLISH is answered by how many pods receive it."""


class Topology(Published, Protocol):
    """What every one of them has."""

    @property
    def url(self) -> str:
        """`REDIS_URL` of the gateways."""


@dataclass(frozen=True, slots=True)
class OnePort:
    """One server that is no disaster's."""

    port: int

    async def primary_port(self) -> int:
        return self.port

    async def publish_port(self) -> int:
        return self.port


@dataclass(slots=True)
class Single:
    """One server; the gateways reach it through a tap."""

    server: Server
    tap: Tap
    clock: Clock | None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.tap.port}/0"

    async def primary_port(self) -> int:
        return self.server.port

    async def publish_port(self) -> int:
        return self.server.port


@asynccontextmanager
async def single(
    folder: Path, config: Mapping[str, object], *, is_clocked: bool = False
) -> AsyncIterator[Single]:
    """One server, with a clock of its own where one is wanted."""
    clock = Clock(folder.with_suffix(".clock")) if is_clocked else None
    async with (
        running(folder, config, clock=clock) as server,
        tap(server.port, kind_of) as tapping,
    ):
        yield Single(server, tapping, clock)


@dataclass(slots=True)
class Watched:
    """A primary and a replica that a Sentinel watches. Everybody reaches the primary by a tap."""

    primary: Server
    replica: Server
    tap: Tap
    sentinel: Server

    @property
    def url(self) -> str:
        node = f"{HOST}:{self.sentinel.port}"
        return f"redis+sentinel://{node},{node}/0/main"

    async def primary_port(self) -> int:
        async with self.sentinel.admin() as sentinel:
            _, port = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return int(port)

    async def publish_port(self) -> int:
        return await self.primary_port()


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    """A primary, a replica that follows it, and a Sentinel that knows both."""
    async with (
        running(folder / "primary", {**APPEND_ONLY, "repl-diskless-sync-delay": 0}) as primary,
        tap(primary.port, kind_of) as tapping,
        running(
            folder / "replica", {**APPEND_ONLY, "replicaof": f"{HOST} {tapping.port}"}
        ) as replica,
        running(
            folder / "sentinel",
            {
                "sentinel monitor main": f"{HOST} {tapping.port} 1",
                "sentinel down-after-milliseconds main": _DOWN_MS,
                "sentinel failover-timeout main": 20_000,
            },
            is_sentinel=True,
        ) as sentinel,
    ):

        async def knows_the_replica() -> bool:
            async with sentinel.admin() as redis:
                known = await redis.execute_command("SENTINEL", "REPLICAS", "main")
            async with replica.admin() as redis:
                return (
                    bool(known) and (await redis.info("replication"))["master_link_status"] == "up"
                )

        await eventually(knows_the_replica, PATIENCE_SECONDS, "the Sentinel knows the replica")
        yield Watched(primary, replica, tapping, sentinel)


@dataclass(slots=True)
class Clustered:
    """Three primaries, one of which has the slot of the log, and a replica."""

    nodes: RedisCluster
    taps: Mapping[int, Tap]
    """Of each node's bus, by the node's port."""
    ids: Mapping[int, str]
    """Each node's name, by its port."""
    owner_port: int

    @property
    def url(self) -> str:
        nodes = self.nodes
        return f"redis+cluster://{HOST}:{nodes.elsewhere.port},{HOST}:{nodes.replica.port}"

    async def primary_port(self) -> int:
        """Ask a node that no disaster strikes who has the slot."""
        elsewhere = cast("Server", self.nodes.elsewhere)
        async with elsewhere.admin() as redis:
            ranges: Any = await redis.execute_command("CLUSTER", "SLOTS")
        for owner_port in _owners(ranges):
            self.owner_port = owner_port
        return self.owner_port

    async def publish_port(self) -> int:
        """The primary, unless its slot has moved there and the pods stay subscribed elsewhere."""
        primary = await self.primary_port()
        for port in (primary, *(port for port in self.ids if port != primary)):
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with Redis.from_url(f"redis://{HOST}:{port}", socket_timeout=1) as redis:
                    if await redis.pubsub_channels():
                        return port
        return primary


def _owners(ranges: Any) -> list[int]:
    """Find the port of the slot's owner in the answer of CLUSTER SLOTS, parsed or not."""
    if isinstance(ranges, dict):
        return [
            int(found["primary"][1])
            for (first, last), found in ranges.items()
            if first <= SLOT <= last
        ]
    return [int(found[2][1]) for found in ranges if found[0] <= SLOT <= found[1]]


def sender_of(message: bytes) -> str | None:
    """Read a node's name from the first bytes that it sends on the cluster's bus."""
    return message[40:80].decode("ascii", "replace") if message[:4] == b"RCmb" else None


@asynccontextmanager
async def clustered(folder: Path) -> AsyncIterator[Clustered]:
    """A cluster that is whole; the nodes reach each other through taps."""
    names = ("owner", "elsewhere", "third", "replica")
    async with AsyncExitStack() as held:
        servers: dict[str, Server] = {}
        taps: dict[int, Tap] = {}
        for name in names:
            bus_port = unused_port()
            tapping = await held.enter_async_context(tap(bus_port, sender_of))
            config = {
                **APPEND_ONLY,
                "cluster-enabled": "yes",
                "cluster-node-timeout": _DOWN_MS,
                "cluster-port": bus_port,
                "cluster-announce-bus-port": tapping.port,
                "repl-diskless-sync-delay": 0,
            }
            server = await held.enter_async_context(running(folder / name, config))
            server.bus_port = tapping.port
            servers[name], taps[server.port] = server, tapping
        nodes = RedisCluster(*(cast("LastingValkey", servers[name]) for name in names))
        await nodes.is_whole()
        ids = {}
        for server in servers.values():
            async with server.admin() as redis:
                ids[server.port] = (await redis.execute_command("CLUSTER", "MYID")).decode()
        yield Clustered(nodes, taps, ids, servers["owner"].port)


TOPOLOGIES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Topology]]] = {
    "single": lambda folder: single(folder, APPEND_ONLY),
    "snapshots": lambda folder: single(folder, SNAPSHOTS),
    "clocked": lambda folder: single(folder, APPEND_ONLY, is_clocked=True),
    "sentinel": watched,
    "cluster": clustered,
}
