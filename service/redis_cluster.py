"""On a Redis Cluster: which node holds our keys, and connections that follow them to another.

All keys lie in one hash slot (see `redis_names`), so its node serves as a single Redis would. What
is published on one node is received on all. redis-py's own cluster client spreads commands over the
nodes and cannot lend the one connection that is read all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError

from service.redis_address import ClusterAddress

_ASK_SECONDS = 2.0

_Node = tuple[str, int]


def follow_slot(address: ClusterAddress, slot: str, **options: Any) -> Redis:
    """Make a client of the node that holds our slot, whichever that is at each connect."""
    kind = _SlotSslConnection if address.options["ssl"] else _SlotConnection
    own = {name: value for name, value in address.options.items() if name != "ssl"}
    make_pool: Any = SentinelConnectionPool  # it carries no types
    pool = make_pool(slot, _Map(address, slot), connection_class=kind, **own, **options)
    return Redis.from_pool(pool)


def find_slot(address: ClusterAddress, slot: str, **options: Any) -> redis.Redis:
    """Make a client of the node that holds our slot now. Raises ConnectionError."""
    make: Any = redis.Redis  # its commands carry no types
    for host, port in address.nodes:
        with make(host=host, port=port, **address.options, **options) as node:
            try:
                owner, *_ = _owner_first(node.execute_command("CLUSTER SLOTS"), host, slot)
            except (RedisError, OSError, ValueError):
                continue
        found: redis.Redis = make(host=owner[0], port=owner[1], **address.options, **options)
        return found
    raise redis.ConnectionError(_NOBODY)


class _Map:
    """Knows nodes to ask; in the place where redis-py's pool expects a Sentinel."""

    def __init__(self, address: ClusterAddress, slot: str) -> None:
        self._address = address
        self._slot = slot
        self._nodes = address.nodes

    async def discover_master(self, _: str) -> _Node:
        """Name the node that holds our slot. Raises ConnectionError."""
        for host, port in self._nodes:
            try:
                found = await self._ask(host, port)
            except (RedisError, OSError, ValueError):
                continue
            # Those who take over are asked next time too; the ones of the URL may be gone by then.
            self._nodes = tuple(dict.fromkeys((*found, *self._address.nodes)))
            return found[0]
        raise redis.ConnectionError(_NOBODY)

    async def _ask(self, host: str, port: int) -> list[_Node]:
        patience = {"socket_connect_timeout": _ASK_SECONDS, "socket_timeout": _ASK_SECONDS}
        make: Any = Redis  # its commands carry no types
        async with make(host=host, port=port, **patience, **self._address.options) as node:
            slots = await node.execute_command("CLUSTER SLOTS")
            return list(_owner_first(slots, host, self._slot))


class _SlotConnection(SentinelManagedConnection):
    """Ends when the node says that the slot is elsewhere: the next one asks for its owner."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply. Raises ConnectionError where the slot has moved."""
        try:
            return await super().read_response(*args, **options)
        except (MovedError, ClusterDownError) as error:
            await self.disconnect()
            raise redis.ConnectionError(f"the hash slot is not served here: {error}") from error


class _SlotSslConnection(_SlotConnection, SSLConnection):
    """The same over TLS."""


_NOBODY = "no node of the Redis Cluster says who holds the hash slot of our keys"


def _owner_first(slots: list[Any], asked: str, slot: str) -> Iterator[_Node]:
    """Read CLUSTER SLOTS: the nodes of our slot, its primary first, then the others.

    Each row is `[first, last, primary, *replicas]`. Raises ValueError where nobody holds the slot.
    """
    ours = key_slot(slot.encode())
    rows = sorted(slots, key=lambda row: not row[0] <= ours <= row[1])
    if not rows or not rows[0][0] <= ours <= rows[0][1]:
        raise ValueError("nobody holds the slot")
    for _, _, *nodes in rows:
        for host, port, *_ in nodes:
            # A node that does not know its own address is where it was asked.
            yield (host.decode() if isinstance(host, bytes) else host) or asked, int(port)
