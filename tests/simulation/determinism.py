"""Clocks and chance of this process, replaced by those of a universe.

The code under test reads `time` and draws from `random`, `secrets` and `os` as every program does.
What depends on the order of hashes repeats only with a fixed PYTHONHASHSEED: `__main__` sees to it.
"""

from __future__ import annotations

import os
import random
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulation.hosts import WALL_CLOCK, Host, Universe


@contextmanager
def determined(universe: Universe) -> Iterator[None]:
    """Let virtual time be the time, and draw everything from the universe's seed."""
    chance = random.Random(universe.chance.random())

    def wall() -> float:
        host = events._get_running_loop()
        offset = host.wall_offset if isinstance(host, Host) else 0.0
        return WALL_CLOCK + universe.now + offset

    def monotonic() -> float:
        return universe.now

    replaced: dict[tuple[Any, str], Any] = {
        (time, "time"): wall,
        (time, "time_ns"): lambda: int(wall() * 1e9),
        (time, "monotonic"): monotonic,
        (time, "monotonic_ns"): lambda: int(universe.now * 1e9),
        (time, "perf_counter"): monotonic,
        (os, "urandom"): chance.randbytes,
        (random, "_urandom"): chance.randbytes,  # what `secrets` draws from
    }
    before = {key: getattr(*key) for key in replaced}
    state = random.getstate()
    random.seed(chance.random())
    try:
        for (module, name), value in replaced.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        random.setstate(state)
