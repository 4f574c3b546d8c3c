"""Links between clients and gateways fail, and clients go away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.disasters.pods import EVERYWHERE
from tests.chaos.names import HEARTBEAT_SECONDS
from tests.chaos.plan import Lane, Span


async def cut(world: World, blow: Blow) -> None:
    """The links are reset."""
    with blow:
        world.wires["frail"].cut()


async def silence(world: World, blow: Blow) -> None:
    """The links go dead without a word, until both sides have missed a heartbeat."""
    with blow:
        world.wires["frail"].go_silent()
        await asyncio.sleep(HEARTBEAT_SECONDS + 1)


async def stall(world: World, blow: Blow) -> None:
    """Something on the way reads on from the gateway and passes nothing on; then it breaks."""
    with blow:
        world.wires["stalling"].stall()
        await asyncio.sleep(blow.seconds)
        world.wires["stalling"].cut()


async def away(world: World, blow: Blow) -> None:
    """The clients are gone for a while, and come back."""
    with blow:
        world.wires["away"].close()
        await blow.wait()
        world.wires["away"].open()


def _disaster(
    name: str, strike: Callable[[World, Blow], Awaitable[None]], group: str, **fields: Any
) -> Disaster:
    return Disaster(
        name, Lane.CLIENTS, strike, is_lossy=False, group=group, topologies=EVERYWHERE, **fields
    )


DISASTERS = (
    _disaster("cut", cut, "frail"),
    _disaster("silence", silence, "frail"),
    _disaster("stall", stall, "stalling", span=Span(1, 20), short_seconds=4),
    _disaster("away", away, "away", span=Span(2, 25), short_seconds=6),
)
