"""The text of `/metrics`, made again for each request; in a flood requests wait, and share one."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from constellation_ws.messages.share import Share

_SHARE = Share(part=0.2, burst_seconds=4.0, most_charged_seconds=0.02)
"""Of the time, for making the text: some hundred texts of 10 ms at once."""
_MOST_WAIT_SECONDS = 1.0
"""A request that comes too soon waits so long at most. After that it gets the last text."""


class MetricsText:
    """The metrics as Prometheus reads them. Making the text is one callback of some milliseconds,
    and whoever reaches the port may request it."""

    def __init__(
        self,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0
        self._texts: dict[str, tuple[float, bytes]] = {}
        """The last text of each format, and when it was made."""

    async def read(self, accept: str) -> tuple[bytes, str]:
        """Return the text in the format that is accepted, and its content type.

        It is not older than the request, except in a flood: then it is some seconds old at most.
        """
        encode, content_type = choose_encoder(accept)
        asked = self._clock()
        if asked < self._free_at:
            await self._sleep(min(self._free_at - asked, _MOST_WAIT_SECONDS))
        made, text = self._texts.get(content_type, (-math.inf, b""))
        if made >= asked:  # for another one that waited
            return text, content_type
        began = self._clock()
        if not text or began >= self._free_at:
            text = encode(self._registry)
            self._texts[content_type] = began, text
            self._free_at = _SHARE.free_at(self._free_at, began, self._clock())
        return text, content_type
