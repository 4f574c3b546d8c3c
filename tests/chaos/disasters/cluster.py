"""A Redis Cluster moves the slot of the log, or cuts its primary off from the others."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.plan import Lane, Span
from tests.chaos.servers import Server
from tests.chaos.topologies import SLOT, Clustered
from tests.processes import HOST
from tests.waiting import PATIENCE_SECONDS, eventually

_KEYS_AT_ONCE = 5


async def migrate(world: World, blow: Blow) -> None:
    """The slot moves to another primary, as in every reshard: first its state, then its keys."""
    cluster: Clustered = world.topology
    owner, target = _servers(cluster)
    async with owner.admin() as here, target.admin() as there:
        with blow:
            await _set_slot(there, "IMPORTING", cluster.ids[owner.port])
            await _set_slot(here, "MIGRATING", cluster.ids[target.port])
            await asyncio.sleep(blow.seconds)
            while keys := await here.execute_command(
                "CLUSTER", "GETKEYSINSLOT", SLOT, _KEYS_AT_ONCE
            ):
                await here.execute_command(
                    "MIGRATE", HOST, target.port, "", 0, 5_000, "KEYS", *keys
                )
            await _set_slot(there, "NODE", cluster.ids[target.port])
            with contextlib.suppress(ResponseError):
                # Without slots it may be a replica of its successor by now.
                await _set_slot(here, "NODE", cluster.ids[target.port])


async def lose_quorum(world: World, blow: Blow) -> None:
    """The slot's primary no longer reaches the other nodes, clients still reach it."""
    cluster: Clustered = world.topology
    cut_off = await cluster.primary_port()

    async def is_replaced() -> bool:
        return await cluster.primary_port() != cut_off

    with blow:
        for port, tap in cluster.taps.items():
            kinds = set(cluster.ids.values()) if port == cut_off else {cluster.ids[cut_off]}
            tap.held_kinds |= kinds
            for kind in kinds:
                tap.hold(kind)
        try:
            await eventually(is_replaced, PATIENCE_SECONDS, "the replica is elected")
            await asyncio.sleep(blow.seconds)
        finally:
            for tap in cluster.taps.values():
                tap.held_kinds.clear()
                tap.cut(held=True)


def _servers(cluster: Clustered) -> tuple[Server, Server]:
    """The owner of the slot, and where it goes: as they are before anything failed."""
    nodes: Any = cluster.nodes
    return nodes.owner, nodes.third


async def _set_slot(redis: Redis, state: str, node: str) -> None:
    await redis.execute_command("CLUSTER", "SETSLOT", SLOT, state, node)


DISASTERS = (
    Disaster("migrate-slot", Lane.REDIS, migrate, Span(5, 25), 12, topologies=("cluster",)),
    Disaster("lose-quorum", Lane.REDIS, lose_quorum, Span(5, 25), 10, topologies=("cluster",)),
)
