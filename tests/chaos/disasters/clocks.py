"""Wall clocks are stepped, and another pod has to record."""

from __future__ import annotations

import asyncio

from tests.chaos.clocks import CACHE_SECONDS
from tests.chaos.disasters.kinds import Blow, Disaster, World, a_recorder
from tests.chaos.plan import Lane

_STEPS_SECONDS = (31, -31)


async def step_redis(world: World, blow: Blow) -> None:
    """Redis' clock is stepped, then the recorder dies."""
    with blow:
        world.topology.clock.step(blow.chance.choice(_STEPS_SECONDS))
        await asyncio.sleep(2 * CACHE_SECONDS)
        await world.pods.kill(await a_recorder(world, blow.chance))


async def step_pod(world: World, blow: Blow) -> None:
    """The clock of one gateway is stepped, then the recorder dies."""
    slot = blow.chance.randrange(len(world.pods.pods))
    with blow:
        world.pods.clocks[slot].step(blow.chance.choice(_STEPS_SECONDS))
        await asyncio.sleep(2 * CACHE_SECONDS)
        await world.pods.kill(await a_recorder(world, blow.chance))


DISASTERS = (
    Disaster("step-redis-clock", Lane.REDIS, step_redis, topologies=("clocked",)),
    Disaster("step-pod-clock", Lane.REDIS, step_pod, is_lossy=False, topologies=("clocked",)),
)
