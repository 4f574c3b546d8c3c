"""The primary dies while its replica lags, and Sentinel promotes the replica."""

from __future__ import annotations

import asyncio

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.names import REPLICATES
from tests.chaos.plan import Lane, Span
from tests.chaos.topologies import Watched
from tests.waiting import PATIENCE_SECONDS, eventually


async def failover(world: World, blow: Blow) -> None:
    """What was written in the last seconds has not reached the replica."""
    watched: Watched = world.topology
    former = await watched.primary_port()
    assert watched.tap.hold(REPLICATES), "the replica follows the primary"
    await asyncio.sleep(blow.seconds)

    async def is_promoted() -> bool:
        return await watched.primary_port() != former

    with blow:
        await watched.primary.kill()
        watched.tap.cut(held=True)
        await eventually(is_promoted, PATIENCE_SECONDS, "Sentinel promotes the replica")


DISASTERS = (
    Disaster("failover", Lane.REDIS, failover, Span(0.5, 4), 1.5, topologies=("sentinel",)),
)
