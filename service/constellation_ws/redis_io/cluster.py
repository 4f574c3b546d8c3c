"""Redis Cluster: which node holds our keys, by what its nodes say of the configuration.

All keys lie in one hash slot (see `names`), so its node serves as a single Redis would. What
is published on one node is received on all. redis-py's own cluster client spreads commands over the
nodes and cannot lend the one connection that is read all the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, RedisError

from constellation_ws.redis_io.address import Node
from constellation_ws.redis_io.topology import NoReport, TopologyReport

_MAX_OTHERS = 4
"""Nodes without our slot that are asked too. A replica of ours is elected, and says so itself."""

_Row = list[Any]
"""Of CLUSTER SLOTS: `[first, last, primary, *replicas]`."""


class ClusterWitnesses:
    """The nodes of a Redis Cluster."""

    def __init__(self, seeds: Sequence[Node], slot_key: str) -> None:
        """`slot_key` is any key of ours."""
        self._seeds = tuple(seeds)
        self._slot = key_slot(slot_key.encode())

    def whom(self, last: TopologyReport | None) -> Sequence[Node]:
        """Choose whom to ask: those of our slot, some others, and those of the URL."""
        others = () if last is None else (last.node, *last.others)
        # The ones of the URL may be gone by the next failover, and all others too.
        return tuple(dict.fromkeys((*others, *self._seeds)))

    async def ask(self, redis: Redis, node: Node) -> TopologyReport:
        """Ask one of them. Raises NoReport, or what redis-py raises."""
        async with redis.pipeline(transaction=False) as pipe:
            pipe.execute_command("CLUSTER", "SLOTS")
            pipe.execute_command("CLUSTER", "NODES")
            slots, nodes = await pipe.execute(raise_on_error=False)
        if isinstance(slots, RedisError):
            raise slots
        if isinstance(nodes, NoPermissionError):
            nodes = b""  # an older ACL of ours: the nodes of the URL are trusted in their order
        if isinstance(nodes, RedisError):
            raise nodes
        return read_report(slots, nodes, node, self._slot)

    def describe(self, faults: str) -> str:
        """Say that none of them could tell."""
        return (
            f"no node of the Redis Cluster reports the owner of the gateway's hash slot ({faults})"
        )


def read_report(
    slots: Sequence[_Row], nodes: bytes | str, asked: Node, slot: int
) -> TopologyReport:
    """Read CLUSTER SLOTS and CLUSTER NODES of one node. Raises NoReport.

    The first gives addresses as the Cluster wants them to be used (names, IPs, TLS ports), the
    second the configuration epoch of a slot's owner: of two owners the one with the higher epoch is
    the newer.
    """
    ours = [row for row in slots if row[0] <= slot <= row[1]]
    if not ours:
        raise NoReport("it reports no owner of the gateway's hash slot")
    (owner, owner_id), *replicas = _nodes_of(ours[0], asked)
    elsewhere = [node for row in slots if row not in ours for node, _ in _nodes_of(row, asked)]
    others = (*(node for node, _ in replicas), *elsewhere[:_MAX_OTHERS])
    lines = [_Line(*words) for words in _lines(nodes)]
    named = {name: node for row in slots for node, name in _nodes_of(row, asked)}
    members = {line.name: named.get(line.name, line.node) for line in lines if line.is_well}
    configuration_epoch = next(
        (line.configuration_epoch for line in lines if line.name == owner_id), 0
    )
    return TopologyReport(owner, configuration_epoch, others, owner_id, members)


def _nodes_of(row: _Row, asked: Node) -> Iterator[tuple[Node, str]]:
    """Read the nodes of one row and their IDs."""
    for host, port, *rest in row[2:]:
        name = _text(host)
        # A node that does not know its own address is where it was asked; `?` stands for a name
        # that a node was not given.
        usable = asked[0] if name in ("", "?") else name
        yield (usable, int(port)), _text(rest[0] if rest else None)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of CLUSTER NODES, as far as it is read."""

    name: str
    address: str
    flags: str
    epoch_text: str

    @property
    def node(self) -> Node:
        """Where it is, by its IP address."""
        host, _, port = self.address.partition(",")[0].partition("@")[0].rpartition(":")
        return host, int(port)

    @property
    def is_well(self) -> bool:
        """Whether the majority has not given it up; one node's doubt (`fail?`) is none."""
        return not {"fail", "noaddr", "handshake"} & set(self.flags.split(","))

    @property
    def configuration_epoch(self) -> int:
        """Its configuration epoch."""
        return int(self.epoch_text)


def _lines(nodes: bytes | str) -> Iterator[tuple[str, str, str, str]]:
    for words in map(str.split, _text(nodes).splitlines()):
        if len(words) > 7:
            yield words[0], words[1], words[2], words[6]


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
