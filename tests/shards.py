"""A Redis Cluster as it is by default: three primaries with a third of the slots, a replica each.

Lives here: starting it, and what befalls its nodes. `tests.valkeys` has the smaller one, of which
only one primary matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from tests.processes import HOST
from tests.valkeys import (
    NODE_TIMEOUT_MS,
    LastingValkey,
    SlotMove,
    are_whole,
    follows,
    holder_of,
    lasting_valkey,
    meet,
    name_of,
)
from tests.waiting import PATIENCE_SECONDS, eventually

SHARDS = 3
SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Shards:
    """Six nodes. Which of a pair is the primary changes with each failover."""

    pairs: tuple[tuple[LastingValkey, LastingValkey], ...]
    """By the third of the slots; the first of each pair has begun as its primary."""

    @property
    def nodes(self) -> list[LastingValkey]:
        return [node for pair in self.pairs for node in pair]

    @property
    def url(self) -> str:
        """`REDIS_URL` of the gateways: one node of each pair is enough to find all."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node, _ in self.pairs)

    async def is_whole(self) -> None:
        """Give out the slots, and wait until every node says that the cluster works."""
        center = self.nodes[0]
        bounds = [round(number * SLOTS / SHARDS) for number in range(SHARDS + 1)]
        for (primary, replica), first, end in zip(self.pairs, bounds, bounds[1:], strict=False):
            async with Redis.from_url(primary.url) as redis:
                await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            for node in (primary, replica):
                if node is not center:
                    async with Redis.from_url(node.url) as redis:
                        await meet(redis, center)
        await asyncio.gather(*(follows(replica, primary) for primary, replica in self.pairs))
        await are_whole(self.nodes)

    async def name(self, node: LastingValkey) -> str:
        """The node's ID."""
        return await name_of(node)

    async def holder(self, slot: int) -> LastingValkey:
        """The primary that holds a slot, by the word of a node of another third, if one runs."""
        pairs = sorted(self.pairs, key=lambda pair: pair is self.pair_of(slot))
        asked = next(node for pair in pairs for node in pair if node.is_running)
        return await holder_of(slot, self.nodes, asked)

    def pair_of(self, slot: int) -> tuple[LastingValkey, LastingValkey]:
        """The nodes that had a slot at first."""
        return self.pairs[slot * SHARDS // SLOTS]

    def elsewhere(self, *slots: int) -> LastingValkey:
        """A running node that has had none of these slots: one where a client is undisturbed."""
        hit = [self.pair_of(slot) for slot in slots]
        return next(
            node for pair in self.pairs if pair not in hit for node in pair if node.is_running
        )

    async def kill(self, slot: int) -> LastingValkey:
        """Kill the primary of a slot as a power cut would; `is_replaced` waits for its replica."""
        victim = await self.holder(slot)
        victim.kill()
        return victim

    async def is_replaced(self, slot: int, victim: LastingValkey) -> None:
        """Wait until another node has the slot."""

        async def is_so() -> bool:
            return await self.holder(slot) is not victim

        await eventually(is_so, PATIENCE_SECONDS, "the replica is elected")

    async def revive(self, node: LastingValkey) -> None:
        """Start a killed node again, as the replica of the one that has replaced it."""
        node.start()
        async with Redis.from_url(node.url) as redis:

            async def replicates() -> bool:
                found = await redis.info("replication")
                return found["role"] == "slave" and found["master_link_status"] == "up"

            await eventually(replicates, PATIENCE_SECONDS, "it follows its successor")
        await are_whole(self.nodes)

    async def fail_over(self, slot: int) -> None:
        """Let the replica of a slot's primary take over in the orderly way, without a loss."""
        before = await self.holder(slot)
        pair = self.pair_of(slot)
        assert before in pair, "the slot is in its own third"
        replica = pair[before is pair[0]]
        async with Redis.from_url(replica.url) as redis:
            await redis.execute_command("CLUSTER", "FAILOVER")
        await self.is_replaced(slot, before)

    async def begin_move(self, slot: int) -> SlotMove:
        """Begin to move a slot from its primary to the next one, as every reshard does."""
        source = await self.holder(slot)
        third = next(number for number, pair in enumerate(self.pairs) if source in pair)
        target = await self.primary((third + 1) % SHARDS)
        move = SlotMove(self, source, target, slot)
        await move.begin()
        return move

    async def primary(self, third: int) -> LastingValkey:
        """The primary of a third of the slots; of its last slot, which no test moves."""
        return await self.holder(round((third + 1) * SLOTS / SHARDS) - 1)

    @asynccontextmanager
    async def hanging(self, slot: int) -> AsyncIterator[LastingValkey]:
        """Let the primary of a slot stand still; it may have been replaced when it goes on."""
        node = await self.holder(slot)
        with node.hanging():
            yield node


@contextmanager
def shards(folder: Path) -> Iterator[Shards]:
    """Six started nodes that do not know each other yet: see `Shards.is_whole`."""
    settings = {
        "cluster_enabled": "yes",
        "cluster_node_timeout": NODE_TIMEOUT_MS,
        # The default refuses writes to all slots while one of them has no primary.
        "cluster_require_full_coverage": "no",
        "repl_diskless_sync_delay": 0,
    }
    with ExitStack() as held:
        folders = [folder / str(number) for number in range(2 * SHARDS)]
        for one in folders:
            one.mkdir()
        nodes = [held.enter_context(lasting_valkey(one, **settings)) for one in folders]
        try:
            yield Shards(tuple(zip(nodes[::2], nodes[1::2], strict=True)))
        finally:
            for node in nodes:
                node.kill()  # a primary that is stopped waits for its replica
