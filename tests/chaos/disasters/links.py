"""Single links between gateways and Redis fail, while Redis and everything else is well."""

from __future__ import annotations

import asyncio

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.names import APPENDS
from tests.chaos.plan import Lane, Span
from tests.chaos.tap import Tap
from tests.waiting import PATIENCE_SECONDS, eventually

_KILLS = 5
_BETWEEN_SECONDS = 0.4


async def kill_pubsub(world: World, blow: Blow) -> None:
    """The Pub/Sub links of all pods are killed, several times in a row."""
    async with world.topology.server.admin() as redis:
        with blow:
            for _ in range(_KILLS):
                with blow.cutting():
                    await redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
                await asyncio.sleep(_BETWEEN_SECONDS)


async def hold_append(world: World, blow: Blow) -> None:
    """The link on which the recorder appends becomes a black hole; what it took is never seen."""
    tap: Tap = world.topology.tap
    with blow:
        await eventually(lambda: tap.hold(APPENDS), PATIENCE_SECONDS, "somebody appends")
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            tap.cut(held=True)


async def delay_append(world: World, blow: Blow) -> None:
    """The same, but what it took arrives in the end, long after everybody has gone on."""
    tap: Tap = world.topology.tap
    with blow:
        await eventually(lambda: tap.hold(APPENDS), PATIENCE_SECONDS, "somebody appends")
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            tap.release()


async def cut_all(world: World, blow: Blow) -> None:
    """Every link of every pod is cut at once, as by a network that converges."""
    async with world.topology.server.admin() as redis:
        with blow, blow.cutting():
            await redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
            await redis.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")


DISASTERS = (
    Disaster("kill-pubsub", Lane.REDIS, kill_pubsub, short_pods=1),
    Disaster("hold-append", Lane.REDIS, hold_append, Span(2, 20), 12),
    Disaster("delay-append", Lane.REDIS, delay_append, Span(2, 20), 6),
    Disaster("cut-redis-links", Lane.REDIS, cut_all),
)
