"""A Redis URL of any form: its topology, and clients that connect to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from redis import DriverInfo
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.crc import key_slot

from constellation_ws.redis_io.address import (
    ClusterAddress,
    Node,
    PlainAddress,
    SentinelAddress,
    SocketAddress,
    read,
)
from constellation_ws.redis_io.client import LocatedConnection, LocatedRedis
from constellation_ws.redis_io.cluster import ClusterWitnesses
from constellation_ws.redis_io.meeting import AtOneNode, AtThePrimary, Meeting
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.redis_io.sentinel import SentinelWitnesses
from constellation_ws.redis_io.tls import ClientTls
from constellation_ws.redis_io.topology import (
    ASK_SECONDS,
    FixedTopology,
    ReportedTopology,
    Topology,
    Witnesses,
)

_PATIENCE = {"socket_connect_timeout": 2, "socket_timeout": 5}
_DRIVER = DriverInfo()
"""How connections name themselves to Redis. One for all of them: each would read the version of
redis-py from its package, which takes half a millisecond."""
_ASKING = {
    "socket_connect_timeout": ASK_SECONDS,
    "socket_timeout": ASK_SECONDS,
    "protocol": 2,  # with the next, a handshake of no command but AUTH
    "driver_info": None,
}


class Endpoint:
    """The Redis of a URL. All clients that are made here share one topology."""

    def __init__(self, url: str, names: Names = DEFAULT) -> None:
        """Nothing connects yet. Raises ValueError.

        `names` say which partition of the log its clients reach.
        """
        self.names = names
        self._url = url
        self._partitions: dict[int, Endpoint] = {}
        self._address = address = read(url)
        self._tls: ClientTls | None = None
        if not isinstance(address, SocketAddress) and address.tls is not None:
            self._tls = ClientTls(address.tls)
        self._topology = self._find_topology(names)
        self._meeting = self._find_meeting(names)

    def has_key(self, key: str) -> bool:
        """Tell whether its clients reach this key: of a Cluster, only what is in our slot."""
        is_cluster = isinstance(self._address, ClusterAddress)
        return not is_cluster or key_slot(key.encode()) == key_slot(self.names.log.encode())

    def of_partition(self, number: int) -> Endpoint:
        """Give the endpoint of another partition of the log; `poll` of this one polls it too.

        Its clients publish, but do not subscribe: all pods meet where the first partition says.
        """
        if number == self.names.partition:
            return self
        if number not in self._partitions:
            self._partitions[number] = Endpoint(self._url, self.names.of_partition(number))
        return self._partitions[number]

    async def locate(self) -> Node:
        """Find the Redis to use now. Raises redis.ConnectionError where nobody says."""
        return await self._topology.locate()

    async def poll(self) -> None:
        """Ask regularly which Redis is to be used; must run as long as clients are used."""
        others = [one.poll() for one in self._partitions.values()]
        await asyncio.gather(self._topology.poll(), self._meeting.poll(), *others)

    def client(self, *, retries: int) -> Redis:
        """Make a client; nothing connects yet.

        With `retries` for commands that may be executed twice: after a restart of Redis every
        connection in the pool fails at its first use. Without for commands that may not. Commands
        that a node of a Cluster has refused are tried again in both cases, for two seconds.
        """
        if self._topology.is_fixed:
            return Redis.from_pool(self._pool(self._topology, _options(retries)))
        return self._located(self._meeting, retries)

    def _find_topology(self, names: Names) -> Topology:
        match self._address:
            case ClusterAddress(nodes, options):
                return self._ask(ClusterWitnesses(nodes, names.log), options)
            case SentinelAddress(nodes, service, password=password):
                return self._ask(SentinelWitnesses(nodes, service), {"password": password})
            case PlainAddress(node):
                return FixedTopology(node)
            case SocketAddress():
                return FixedTopology(("localhost", 0))

    def _ask(self, witnesses: Witnesses, credentials: Mapping[str, Any]) -> ReportedTopology:
        def connect(node: Node) -> Redis:
            options = {**credentials, **_ASKING}
            return Redis.from_pool(self._bare_pool(FixedTopology(node), options))

        return ReportedTopology(witnesses, connect)

    def _find_meeting(self, names: Names) -> Meeting:
        at_primary = AtThePrimary(self._topology)
        if names.partition or not isinstance(self._address, ClusterAddress):
            return at_primary
        assert isinstance(self._topology, ReportedTopology), "of a Cluster"

        def make_client() -> Redis:
            return self._located(at_primary, retries=0)

        def connect(node: Node) -> Redis:
            return Redis.from_pool(self._pool(FixedTopology(node), _options(retries=0)))

        return AtOneNode(self._topology, names.meeting, connect, make_client)

    def _located(self, meeting: Meeting, retries: int) -> LocatedRedis:
        def connect(node: Node) -> Redis:
            return Redis.from_pool(self._pool(FixedTopology(node), _options(retries)))

        pool = self._pool(self._topology, _options(retries))
        return LocatedRedis(pool, self._topology, meeting, connect)

    def _pool(self, topology: Topology, options: Mapping[str, Any]) -> ConnectionPool:
        """Make a pool of connections with the URL's own credentials."""
        return self._bare_pool(topology, {**options, **self._address.options})

    def _bare_pool(self, topology: Topology, options: Mapping[str, Any]) -> ConnectionPool:
        make: Any = ConnectionPool  # it carries no types
        if not isinstance(self._address, SocketAddress):
            located = {"topology": topology, "tls": self._tls}
            options = {"connection_class": LocatedConnection, **located, **options}
        pool: ConnectionPool = make(**options)
        return pool


def _options(retries: int) -> dict[str, Any]:
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), retries)
    return {**_PATIENCE, "driver_info": _DRIVER, "retry": retry}
