"""The text of `/metrics`, made again for each request unless requests come in a flood."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_REST_FACTOR = 50
"""Making the text takes 2 % of the time in the long run..."""
_BURST_SECONDS = 20.0
"""...and as much as 2 % of this time at once: some forty texts of 10 ms."""


class MetricsText:
    """The metrics as Prometheus reads them. Making the text is one callback of some milliseconds,
    and whoever reaches the port may request it."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._free_at = 0.0
        self._texts: dict[str, bytes] = {}
        """The last text of each format."""

    def read(self, accept: str) -> tuple[bytes, str]:
        """Return the text in the format that is accepted, and its content type.

        In a flood it is the last one, at most some seconds old.
        """
        encode, content_type = choose_encoder(accept)
        began = self._clock()
        text = self._texts.get(content_type)
        if text is None or began >= self._free_at:
            text = self._texts[content_type] = encode(self._registry)
            used = (self._clock() - began) * _REST_FACTOR
            self._free_at = max(self._free_at, began - _BURST_SECONDS) + used
        return text, content_type
