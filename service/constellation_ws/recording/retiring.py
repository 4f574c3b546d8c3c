"""How a pod leaves: all its recorders have recorded what was received, before Redis is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from constellation_ws.recording.recorder import Recorder
from constellation_ws.redis_io.bus import RedisBus

_RETIRE_SECONDS = 3.5
"""By then a dead recorder is replaced, and has caught up. With the times behind it this is less
than all of the step has (`process/shutdown`)."""
_UNSUBSCRIBE_SECONDS = 1.0
"""A subscription that does not confirm its end by then may not have brought events either."""


async def retire(bus: RedisBus, recorders: Sequence[Recorder]) -> None:
    """Record what has come, end the subscription, and let other pods go on.

    Of pods that leave together the recorder of the first partition is the last, and becomes that of
    all partitions: until its subscription ends Redis counts it as a receiver.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RETIRE_SECONDS):
            is_last = await recorders[0].hand_over()
            await asyncio.gather(*(one.prepare_to_retire(is_last=is_last) for one in recorders))
    is_deaf = not await bus.retire(_UNSUBSCRIBE_SECONDS)
    await asyncio.gather(*(one.retire(is_deaf=is_deaf) for one in recorders))
