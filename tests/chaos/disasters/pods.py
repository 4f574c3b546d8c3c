"""Gateways are replaced, killed, or paused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.chaos.disasters.kinds import Blow, Disaster, World, a_recorder
from tests.chaos.plan import Lane, Span

_STALLED_SECONDS = 0.5
"""Enough for events to be written to clients that do not get them, less than a heartbeat."""


async def roll(world: World, blow: Blow) -> None:
    """Every pod is replaced, one after the other."""
    with blow:
        for slot in range(len(world.pods.pods)):
            await world.pods.roll(slot)


async def kill(world: World, blow: Blow) -> None:
    """A pod that does not record dies."""
    recorder = await a_recorder(world, blow.chance)
    with blow:
        await world.pods.kill((recorder + 1) % len(world.pods.pods))


async def kill_recorder(world: World, blow: Blow) -> None:
    """The pod that records dies."""
    recorder = await a_recorder(world, blow.chance)
    with blow:
        await world.pods.kill(recorder)


async def roll_stalled(world: World, blow: Blow) -> None:
    """Every pod is replaced, and drains just when some clients' links have stalled."""
    stalling = world.wires["stalling"]

    async def stall() -> None:
        stalling.stall()
        await asyncio.sleep(_STALLED_SECONDS)

    with blow:
        for slot in range(len(world.pods.pods)):
            await world.pods.roll(slot, before=stall)
            stalling.cut()


async def kill_stalled(world: World, blow: Blow) -> None:
    """The recorder dies just when some clients' links have stalled."""
    stalling = world.wires["stalling"]
    recorder = await a_recorder(world, blow.chance)
    with blow:
        stalling.stall()
        await asyncio.sleep(_STALLED_SECONDS)
        await world.pods.kill(recorder)
        stalling.cut()


async def pause(world: World, blow: Blow) -> None:
    """The recorder's process is paused, as for the move of a virtual machine."""
    await _pause(world, blow, [await a_recorder(world, blow.chance)])


async def pause_all(world: World, blow: Blow) -> None:
    """All processes are paused at once, as on a starved node."""
    await _pause(world, blow, range(len(world.pods.pods)))


async def _pause(world: World, blow: Blow, slots: Iterable[int]) -> None:
    with blow:
        for slot in slots:
            world.pods.pause(slot)
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            for slot in slots:
                world.pods.resume(slot)


EVERYWHERE = ("single", "snapshots", "sentinel", "cluster")
DISASTERS = (
    Disaster("roll", Lane.PODS, roll, is_lossy=False, topologies=EVERYWHERE),
    Disaster("kill", Lane.PODS, kill, is_lossy=False, delays=True, topologies=EVERYWHERE),
    Disaster(
        "kill-recorder",
        Lane.PODS,
        kill_recorder,
        is_lossy=False,
        delays=True,
        topologies=EVERYWHERE,
    ),
    Disaster("roll-stalled", Lane.PODS, roll_stalled, is_lossy=False, topologies=EVERYWHERE),
    Disaster(
        "kill-stalled", Lane.PODS, kill_stalled, is_lossy=False, delays=True, topologies=EVERYWHERE
    ),
    Disaster("pause", Lane.PODS, pause, Span(8, 14), 13, topologies=EVERYWHERE),
    Disaster("pause-all", Lane.PODS, pause_all, Span(8, 14), 13),
)
