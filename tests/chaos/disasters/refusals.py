"""Redis answers, and refuses to write: it is full, cannot save, or is a replica of nothing."""

from __future__ import annotations

import asyncio

from tests.chaos.disasters.kinds import Blow, Disaster, World
from tests.chaos.plan import Lane, Span
from tests.chaos.servers import Server
from tests.waiting import PATIENCE_SECONDS, eventually


async def full(world: World, blow: Blow) -> None:
    """`maxmemory` is reached, and nothing may be evicted: writes get OOM."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.config_set("maxmemory", 1)
            try:
                await asyncio.sleep(blow.seconds)
            finally:
                await redis.config_set("maxmemory", 0)


async def misconf(world: World, blow: Blow) -> None:
    """A snapshot cannot be written: writes get MISCONF."""
    server: Server = world.topology.server
    in_the_way = server.data / "dump.rdb"
    async with server.admin() as redis:
        in_the_way.mkdir()  # root may write anywhere, but not rename a file onto a folder
        await redis.config_set("save", "86400 1")
        try:
            await redis.bgsave()
            await eventually(lambda: _saves(server, "err"), PATIENCE_SECONDS, "saving fails")
            with blow:
                await asyncio.sleep(blow.seconds)
        finally:
            in_the_way.rmdir()
            await redis.config_set("save", "")
            await redis.bgsave()
            await eventually(lambda: _saves(server, "ok"), PATIENCE_SECONDS, "saving works")


async def _saves(server: Server, wanted: str) -> bool:
    async with server.admin() as redis:
        info = await redis.info("persistence")
    return not info["rdb_bgsave_in_progress"] and info["rdb_last_bgsave_status"] == wanted


async def read_only(world: World, blow: Blow) -> None:
    """It is made a replica of nothing, as by a failover that went wrong: writes get READONLY."""
    async with world.topology.server.admin() as redis:
        with blow:
            await redis.execute_command("REPLICAOF", "127.0.0.1", 1)
            try:
                await asyncio.sleep(blow.seconds)
            finally:
                await redis.execute_command("REPLICAOF", "NO", "ONE")


_A_WHILE = Span(2, 25)
DISASTERS = (
    Disaster("full", Lane.REDIS, full, _A_WHILE, 13),
    Disaster("misconf", Lane.REDIS, misconf, _A_WHILE, 13),
    Disaster("read-only", Lane.REDIS, read_only, _A_WHILE, 13),
)
