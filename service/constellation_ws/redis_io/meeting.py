"""The Redis node on which the pods subscribe: the same one for all.

Messages that are published on several nodes of a Cluster reach each node in an order of its own.
Pods identify what is recorded by its position in one order, so all subscribe on the same node. They
stay there when the slot of our keys moves to another node: every node receives what is published on
any, and a change from one order to another always loses or doubles messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from constellation_ws.redis_io.address import Node
from constellation_ws.redis_io.faults import FAULTS
from constellation_ws.redis_io.topology import (
    MoveListener,
    ReportedTopology,
    Topology,
    TopologyReport,
)

logger = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MeetingNode:
    """Where to subscribe."""

    name: str
    """The node's ID."""
    client: Redis
    """Makes connections to it."""


class Meeting(Protocol):
    """Knows where the pods subscribe."""

    async def choose(self, redis: Redis) -> MeetingNode:
        """Return the node for the next subscription of a client. Raises what FAULTS names."""

    def shun(self, node: MeetingNode) -> None:
        """Note that nothing connects to a node."""

    async def announce(self, redis: Redis, node: MeetingNode) -> None:
        """Note that this pod subscribes there, and write it for the others. Raises as `choose`."""

    def listen(self, listener: MoveListener) -> None:
        """Notify a subscription when another node is to be used."""

    async def poll(self) -> None:
        """Ask regularly whether another node is to be used, for ever."""


class AtThePrimary:
    """Pods meet on the Redis that holds their keys."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    async def choose(self, redis: Redis) -> MeetingNode:
        return MeetingNode("", redis)

    def shun(self, node: MeetingNode) -> None:
        """The topology finds out by itself."""

    async def announce(self, redis: Redis, node: MeetingNode) -> None:
        """All know it already."""

    def listen(self, listener: MoveListener) -> None:
        self._topology.listen(listener)

    async def poll(self) -> None:
        await asyncio.Event().wait()


class AtOneNode:
    """Pods meet on a node of a Cluster whose ID is written in Redis, as long as it lives."""

    def __init__(
        self,
        topology: ReportedTopology,
        key: str,
        connect: Callable[[Node], Redis],
        make_client: Callable[[], Redis],
    ) -> None:
        """`connect` makes a client of a node, `make_client` one of our keys."""
        self._topology = topology
        self._key = key
        self._connect = connect
        self._make_client = make_client
        self._node = ""
        self._shunned = ""
        self._listeners: weakref.WeakSet[MoveListener] = weakref.WeakSet()

    async def choose(self, redis: Redis) -> MeetingNode:
        report = await self._topology.report()
        agreed = await self._agreed(redis)
        is_usable = agreed in report.members and agreed != self._shunned
        name = agreed if is_usable else report.owner
        return MeetingNode(name, self._connect(report.members.get(name, report.node)))

    def shun(self, node: MeetingNode) -> None:
        self._shunned = node.name

    async def announce(self, redis: Redis, node: MeetingNode) -> None:
        self._node, self._shunned = node.name, ""
        await self._write(redis, node.name)

    def listen(self, listener: MoveListener) -> None:
        self._listeners.add(listener)

    async def poll(self) -> None:
        async with self._make_client() as redis:
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                if self._node:  # else nobody has subscribed yet
                    await self._check(redis)

    async def _check(self, redis: Redis) -> None:
        try:
            report, agreed = await self._topology.report(), await self._agreed(redis)
            if not agreed:
                await self._write(redis, self._node)  # Redis came back empty
        except FAULTS as error:
            logger.debug("the node on which pods subscribe is unknown", error=str(error))
            return
        name = choose_node(report, agreed, self._node)
        if name != self._node:
            for listener in [*self._listeners]:
                listener.moved(report.members.get(name, report.node))

    async def _agreed(self, redis: Redis) -> str:
        """Read the ID of the node; empty where none is written yet."""
        try:
            written: Any = await redis.get(self._key)
        except NoPermissionError:
            return self._node  # live delivery: no other pod depends on the order
        return "" if written is None else bytes(written).decode()

    async def _write(self, redis: Redis, name: str) -> None:
        with contextlib.suppress(NoPermissionError):
            await redis.set(self._key, name)


def choose_node(report: TopologyReport, agreed: str, current: str) -> str:
    """Decide on which node a pod should be subscribed; `current` is the one that it is on now."""
    if agreed in report.members:
        return agreed
    return current if current in report.members else report.owner
