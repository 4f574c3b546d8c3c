"""How a pod leaves: all its recorders have recorded what was received, before Redis is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from constellation_ws.recording.recorder import Recorder
from constellation_ws.redis_io.bus import RedisBus


async def retire(bus: RedisBus, recorders: Sequence[Recorder]) -> None:
    """Record what has come, end the subscription, and let other pods go on."""
    await asyncio.gather(*(one.prepare_to_retire() for one in recorders))
    bus.retire()
    await asyncio.gather(*(one.retire() for one in recorders))
