"""Reads what a service answers, and passes over frames that are too long. Pure.

A connection carries the answers to many requests. One that is too long must not cost the others
theirs, as it would if the connection were closed.
"""

from __future__ import annotations

import re

from constellation_ws.nest.framing import FrameDecoder

MAX_SKIPPED_BYTES = 64 * 1_048_576
"""Longest frame that is passed over. A longer one is read for too long to be worth it."""
_END_BYTES = 64
# NestJS puts the id last. An id inside the response is followed by one bracket more.
_ID = re.compile(rb'[,{]\s*"id"\s*:\s*"([^"\\]{1,32})"\s*}\s*$')


class SkippingDecoder(FrameDecoder):
    """A decoder that keeps only the end of a frame that is too long."""

    __slots__ = ("_is_long", "_max_kept_bytes", "is_cut")

    def __init__(self, max_frame_bytes: int) -> None:
        """`max_frame_bytes` bounds what is kept of one JSON text, counted as UTF-8."""
        super().__init__(MAX_SKIPPED_BYTES)
        self._max_kept_bytes = max_frame_bytes
        self._is_long = False
        self.is_cut = False
        """Whether the text that `feed` yielded last is only the end of one that is too long."""

    def _take_text(self, chars: str, at: int, missing: int) -> int:
        taken = super()._take_text(chars, at, missing)
        if self._is_long or len(self._text) > self._max_kept_bytes:
            self._is_long = True
            del self._text[:-_END_BYTES]
        return taken

    def _finish(self) -> bytes:
        self.is_cut, self._is_long = self._is_long, False
        return super()._finish()


def find_id(end: bytes) -> str | None:
    """Find the id of a reply of which there is only the end; None where it is not there."""
    found = _ID.search(end)
    return None if found is None else found[1].decode(errors="replace")
