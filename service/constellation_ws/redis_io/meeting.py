"""On which Redis the pods subscribe: all of them on one.

What is published on several nodes of a Cluster reaches each node in an order of its own. Pods agree
about what is recorded by its position in one order, so they all subscribe on the same node. They
stay there when the slot of our keys moves to another one: every node receives what is published on
any, and no change from one order to the other loses or doubles nothing.
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
from constellation_ws.redis_io.topology import Claim, FollowedTopology, Listener, Topology

logger = structlog.get_logger(__name__)

_WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to subscribe."""

    name: str
    """The node's ID."""
    client: Redis
    """Makes connections to it."""


class Meeting(Protocol):
    """Knows where the pods subscribe."""

    async def choose(self, redis: Redis) -> Place:
        """Give the place for the next subscription of a client. Raises what FAULTS names."""

    def shun(self, place: Place) -> None:
        """Note that nothing connects to a place."""

    async def settle(self, redis: Redis, place: Place) -> None:
        """Note that this pod subscribes there, and let the others know. Raises as `choose`."""

    def listen(self, listener: Listener) -> None:
        """Tell a subscription when another place is to be used."""

    async def watch(self) -> None:
        """Find out by itself that another place is to be used, for ever."""


class AtThePrimary:
    """Pods meet on the Redis that holds their keys."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    async def choose(self, redis: Redis) -> Place:
        return Place("", redis)

    def shun(self, place: Place) -> None:
        """The topology finds out by itself."""

    async def settle(self, redis: Redis, place: Place) -> None:
        """All know it already."""

    def listen(self, listener: Listener) -> None:
        self._topology.listen(listener)

    async def watch(self) -> None:
        await asyncio.Event().wait()


class AtOneNode:
    """Pods meet on a node of a Cluster whose ID is written in Redis, as long as it lives."""

    def __init__(
        self,
        topology: FollowedTopology,
        key: str,
        connect: Callable[[Node], Redis],
        make_client: Callable[[], Redis],
    ) -> None:
        """`connect` makes a client of a node, `make_client` one of our keys."""
        self._topology = topology
        self._key = key
        self._connect = connect
        self._make_client = make_client
        self._place = ""
        self._shunned = ""
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()

    async def choose(self, redis: Redis) -> Place:
        claim = await self._topology.claim()
        agreed = await self._agreed(redis)
        is_usable = agreed in claim.members and agreed != self._shunned
        name = agreed if is_usable else claim.owner
        return Place(name, self._connect(claim.members.get(name, claim.node)))

    def shun(self, place: Place) -> None:
        self._shunned = place.name

    async def settle(self, redis: Redis, place: Place) -> None:
        self._place, self._shunned = place.name, ""
        await self._write(redis, place.name)

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)

    async def watch(self) -> None:
        async with self._make_client() as redis:
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                if self._place:  # else nobody has subscribed yet
                    await self._check(redis)

    async def _check(self, redis: Redis) -> None:
        try:
            claim, agreed = await self._topology.claim(), await self._agreed(redis)
            if not agreed:
                await self._write(redis, self._place)  # Redis came back empty
        except FAULTS as error:
            logger.debug("the node on which pods subscribe is unknown", error=str(error))
            return
        name = where_to(claim, agreed, self._place)
        if name != self._place:
            for listener in [*self._listeners]:
                listener.moved(claim.members.get(name, claim.node))

    async def _agreed(self, redis: Redis) -> str:
        """Read the ID of the node; empty where none is written yet."""
        try:
            written: Any = await redis.get(self._key)
        except NoPermissionError:
            return self._place  # live delivery: no other pod depends on the order
        return "" if written is None else bytes(written).decode()

    async def _write(self, redis: Redis, name: str) -> None:
        with contextlib.suppress(NoPermissionError):
            await redis.set(self._key, name)


def where_to(claim: Claim, agreed: str, place: str) -> str:
    """Decide on which node a pod should be subscribed that is at a place now."""
    if agreed in claim.members:
        return agreed
    return place if place in claim.members else claim.owner
