"""Holds back what a subscription brings until it is known among how many partitions it is divided.

Only where a pod follows several partitions: another tick may have changed the number just before
the subscription began (see `width`). Redis itself may have lost the number, and it is a pod that
knows it which says it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

from constellation_ws.log.seats import RETURN_SECONDS
from constellation_ws.log.state import LeaseReply
from constellation_ws.recording.width import Width
from constellation_ws.redis_io.bus import Published

_MOST_SECONDS = 3.0
"""After Redis' first answer: by then a dead recorder is replaced. What is received is not held back
any longer, whatever it is that nobody says."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of payloads, while Redis does not answer. Above that all is divided as was known before."""


class Hold:
    """What is held back, if anything is."""

    def __init__(self, width: Width) -> None:
        self._width = width
        self._batch: list[Published] = []
        self.is_on = not width.is_fixed
        """Whether messages are to be held back."""
        self._bytes = 0
        self._begun_at: float | None = None
        """Monotonic time at which the first of them was received: the subscription is active."""
        self._answered_at = math.inf
        """Monotonic time of Redis' first answer to a question since."""
        self._is_confirmed = False
        self._news = asyncio.Event()

    def begin(self) -> None:
        """Hold back what the next subscription brings."""
        if not self._width.is_fixed:
            self.is_on, self._begun_at, self._is_confirmed = True, None, False
            self._answered_at = math.inf

    def add(self, batch: list[Published]) -> bool:
        """Hold these back; return whether they are the first."""
        self._batch += batch
        self._bytes += sum(len(payload) for _, payload in batch)
        if self._bytes > _MOST_BYTES:
            self._answer(is_confirmed=True)
        if self._begun_at is not None:
            return False
        self._begun_at = time.monotonic()
        self._news.set()
        return True

    def end(self) -> list[Published]:
        """Hold nothing back any more; return what was."""
        self.is_on = False
        batch, self._batch, self._bytes = self._batch, [], 0
        return batch

    def confirm(self, reply: LeaseReply, asked_at: float) -> None:
        """Compare what Redis said to a question of this monotonic time.

        The number is written before the stream changes. So if it is what this pod knew, and the
        subscription had begun, it was so from its begin on. If it is more, the recorder will say
        from where on, unless there is none. Where there is none, and none was known, Redis may have
        lost the number just before; each pod that knows it asks, and so writes it, within a time.
        """
        if self._begun_at is None or asked_at < self._begun_at:
            return
        if reply.is_free:
            is_known = self._width.known > 1 or asked_at - self._begun_at >= RETURN_SECONDS
        else:
            is_known = reply.partitions <= self._width.current
        self._answer(is_confirmed=is_known)

    def _answer(self, *, is_confirmed: bool) -> None:
        self._answered_at = min(self._answered_at, time.monotonic())
        self._is_confirmed = self._is_confirmed or is_confirmed
        self._news.set()

    async def due(self) -> None:
        """Wait until what is held back is to be divided as Redis says, or as was known before."""
        while not self._is_due():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._left_seconds()):
                    await self._news.wait()
            self._news.clear()

    def _is_due(self) -> bool:
        left = self._left_seconds()
        return left is not None and (self._is_confirmed or left <= 0)

    def _left_seconds(self) -> float | None:
        """Return for how long messages may be held back; None where that depends on an answer."""
        if not self.is_on or self._answered_at == math.inf:
            return None
        return self._answered_at + _MOST_SECONDS - time.monotonic()
