"""Pub/Sub -> log without loss or doubles: what a pod has heard, and what the log still lacks of it.

Pure. All pods hear one stream; ticks published into that stream give each message a position that
is the same on every pod, so that equal messages in a row are told apart by place, not by content.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

import msgspec


class Heard(msgspec.Struct, frozen=True, gc=False):
    """One message of the stream, where this pod heard it."""

    tick: bytes
    """The last tick before it."""
    index: int
    """Its place behind that tick, from 0."""
    channel: bytes
    payload: bytes
    at_seconds: float

    @property
    def position(self) -> bytes:
        """Its name, the same on every pod that has listened since the tick."""
        return b"%b:%d" % (self.tick, self.index)


class Memory:
    """What this pod has heard lately, in order. Forgets by age and by size.

    Before the first tick, and after the subscription was interrupted until the next one, there are
    no positions: what is heard then counts as published before this pod listened.
    """

    def __init__(self, max_age_seconds: float, max_bytes: int) -> None:
        self._max_age_seconds = max_age_seconds
        self._max_bytes = max_bytes
        self._bytes = 0
        self._heard: deque[Heard] = deque()
        self._first = 0
        self._tick: bytes | None = None
        self._index = 0

    @property
    def is_positioned(self) -> bool:
        """Whether a tick has been heard since the subscription began."""
        return self._tick is not None

    @property
    def begin(self) -> int:
        """Number of the oldest message that is not forgotten."""
        return self._first

    @property
    def end(self) -> int:
        """Number of the next message; numbers are this pod's own and never reused."""
        return self._first + len(self._heard)

    def tick(self, name: bytes) -> None:
        """Hear a tick: positions count from here."""
        self._tick, self._index = name, 0

    def interrupt(self) -> None:
        """Take note that messages may have been missed: positions wait for the next tick."""
        self._tick = None

    def hear(self, channel: bytes, payload: bytes, now_seconds: float) -> None:
        """Keep one message."""
        if self._tick is None:
            return
        self._heard.append(Heard(self._tick, self._index, channel, payload, now_seconds))
        self._index += 1
        self._bytes += len(payload)

    def forget(self, now_seconds: float) -> None:
        """Drop what is too old or too much."""
        heard = self._heard
        while heard and (
            now_seconds - heard[0].at_seconds > self._max_age_seconds
            or self._bytes > self._max_bytes
        ):
            self._bytes -= len(heard.popleft().payload)
            self._first += 1

    def since(self, number: int) -> list[Heard]:
        """Give what has this number or a later one and is not forgotten."""
        skip = max(0, number - self._first)
        if skip > len(self._heard) // 2:
            # The usual call asks for the last few: walk from the end.
            wanted = len(self._heard) - skip
            last = [self._heard[-1 - back] for back in range(max(0, wanted))]
            last.reverse()
            return last
        return list(self._heard)[skip:]


def unrecorded(heard: Iterable[Heard], recorded: Collection[bytes]) -> list[Heard]:
    """Give what the log lacks, in the stream's order; `recorded` are the positions it has."""
    return [one for one in heard if one.position not in recorded]
