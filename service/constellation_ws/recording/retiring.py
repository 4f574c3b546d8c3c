"""How a pod leaves: all its recorders have recorded what was received, before Redis is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from constellation_ws.recording.recorder import Recorder
from constellation_ws.redis_io.bus import RedisBus

_HEAR_SECONDS = 1.0
"""A subscription that does not bring what this pod publishes may not have brought events either."""


async def retire(bus: RedisBus, recorders: Sequence[Recorder]) -> None:
    """Record what has come, end the subscription, and let other pods go on."""
    await asyncio.gather(*(one.prepare_to_retire() for one in recorders))
    is_deaf = not await bus.hears_itself(_HEAR_SECONDS) or bus.is_doubted
    bus.retire()
    await asyncio.gather(*(one.retire(is_deaf=is_deaf) for one in recorders))
