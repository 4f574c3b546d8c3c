"""How many partitions the log of a world has, and what Redis says of who records them."""

from __future__ import annotations

from random import Random

from tests.partitions import names_of
from tests.simulation.redis_model.keyspace import Keyspace


def draw_partitions(seed: str, wanted: int | None = None) -> tuple[int, int]:
    """Draw how many there are, unless that is `wanted`; and with how many pods begin.

    Chance is a new one, so that everything else that a seed draws remains.
    """
    chance = Random(f"{seed} partitions")
    drawn = chance.choice((1, 1, 2, 3))
    count = drawn if wanted is None else wanted
    return count, chance.choice((1, count))


def recorders_of(data: Keyspace, partitions: int) -> list[str]:
    """Give the pods that hold a lease, once for each partition."""
    found = []
    for partition in range(partitions):
        state = data.find(names_of(partition).state.encode(), dict) or {}
        holder = state.get(b"holder", b"").decode()
        if holder and int(state.get(b"until", b"0")) > data.now_ms:
            found.append(holder.rpartition(".")[0])
    return found


def width_of(data: Keyspace) -> int:
    """Give how many partitions are in use."""
    state = data.find(names_of(0).state.encode(), dict) or {}
    return int(state.get(b"partitions", b"1"))
