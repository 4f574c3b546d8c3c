"""Redis stops, hangs, or comes back with less than it had."""

from __future__ import annotations

import asyncio

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.names import LOG_KEY
from tests.chaos.plan import Lane, Span

_BEHIND_SECONDS = 3.0
"""How old the snapshot is that Redis is rolled back to."""


async def restart(world: World, blow: Blow) -> None:
    """It is stopped as for an upgrade, and comes back with its data."""
    server = world.topology.server
    with blow:
        await server.stop()
        await asyncio.sleep(blow.seconds)
        await server.start()


async def crash(world: World, blow: Blow) -> None:
    """It is killed, and comes back with what was written to the disk."""
    server = world.topology.server
    with blow:
        await server.kill()
        await asyncio.sleep(blow.seconds)
        await server.start()


async def empty_restart(world: World, blow: Blow) -> None:
    """It is killed, and comes back without any data."""
    server = world.topology.server
    with blow:
        await server.kill()
        server.wipe()
        await asyncio.sleep(blow.seconds)
        await server.start()


async def rollback(world: World, blow: Blow) -> None:
    """It is killed, and comes back with an older snapshot."""
    server = world.topology.server
    backup = await asyncio.to_thread(server.copy_data)
    await asyncio.sleep(_BEHIND_SECONDS)
    with blow:
        await server.kill()
        server.put_back(backup)
        await asyncio.sleep(blow.seconds)
        await server.start()


async def hang(world: World, blow: Blow) -> None:
    """It does nothing, and goes on after a while."""
    server = world.topology.server
    with blow:
        server.hang()
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            server.wake()


async def client_pause(world: World, blow: Blow) -> None:
    """An operator pauses all clients: CLIENT PAUSE."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.execute_command("CLIENT", "PAUSE", int(blow.seconds * 1_000), "ALL")
            await asyncio.sleep(blow.seconds)


async def flushall(world: World, blow: Blow) -> None:
    """Somebody empties it: the "clear cache" command of many a web framework."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.flushall()


async def delete_log(world: World, blow: Blow) -> None:
    """Somebody deletes the stream."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.delete(LOG_KEY)


async def trim_log(world: World, blow: Blow) -> None:
    """Somebody trims the stream to a few entries."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.xtrim(LOG_KEY, maxlen=blow.chance.choice((0, 5)), approximate=False)


_MOMENT = Span(0, 4)
DISASTERS = (
    Disaster("restart", Lane.REDIS, restart, _MOMENT, 1, topologies=("single", "snapshots")),
    Disaster("crash", Lane.REDIS, crash, _MOMENT, 0.5),
    Disaster("empty-restart", Lane.REDIS, empty_restart, _MOMENT, 1),
    Disaster("rollback", Lane.REDIS, rollback, _MOMENT),
    Disaster("hang", Lane.REDIS, hang, Span(1, 20), 13),
    Disaster("client-pause", Lane.REDIS, client_pause, Span(1, 20), 13),
    Disaster("flushall", Lane.REDIS, flushall),
    # The gateways that run have the last events in their own memory: new ones have not.
    Disaster("delete-log", Lane.REDIS, delete_log, followed_by="roll"),
    Disaster("trim-log", Lane.REDIS, trim_log, followed_by="roll"),
)
