"""Positions in the Pub/Sub stream: the last tick and the number of messages since.

Pure. Pods publish ticks into the stream that all of them receive, so a position names the same
message on every pod.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_MAX_TICKS = 1_000
"""Ticks that are retained: some minutes of them, at two a second and pod restarts besides."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """One message of the stream, where this pod received it."""

    tick: bytes
    """The last tick before it."""
    index: int
    """How many messages lie between that tick and it."""
    channel: bytes
    payload: bytes

    @property
    def position(self) -> bytes:
        """Its name, the same on every pod that has been subscribed since the tick."""
        return b"%b:%d" % (self.tick, self.index)


@dataclass(slots=True)
class Stretch:
    """The messages behind one tick."""

    begin: int
    """Number of the first of them."""
    serial: int
    """How many interruptions there were before it."""
    end: int | None = None
    """Number after the last of them that was received; None while they still come."""

    def clamp(self, number: int) -> int:
        """Bound a number by the stretch: other pods may have received more of it than this one."""
        return number if self.end is None else min(number, self.end)


@dataclass(frozen=True, slots=True)
class Hole:
    """Where messages may be missing here that other pods have received."""

    number: int
    serial: int
    """Which interruption it is; 0 for none. It tells what came before the hole from what came
    behind it where nothing was received in between."""
    is_lossy: bool
    """Whether Redis may have counted this pod as a receiver of what is missing."""

    def is_before(self, stretch: Stretch) -> bool:
        """Return whether it lies before a stretch."""
        return (self.number, self.serial) <= (stretch.begin, stretch.serial)


class Stretches:
    """The stretches that this pod has received, by their ticks; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_tick: dict[bytes, Stretch] = {}
        self._current: Stretch | None = None

    def begin(self, tick: bytes, number: int, serial: int) -> Stretch:
        """End the current stretch before the message of this number, and begin the next one."""
        if self._current is not None:
            self._current.end = number
        stretch = self._by_tick[tick] = self._current = Stretch(number, serial)
        if len(self._by_tick) > _MAX_TICKS:
            del self._by_tick[next(iter(self._by_tick))]
        return stretch

    def find(self, position: bytes) -> tuple[Stretch, int] | None:
        """Find the stretch of a position, and the number that its message has or would have."""
        tick, index = parse_position(position)
        stretch = self._by_tick.get(tick)
        return None if stretch is None else (stretch, stretch.begin + index)

    def find_received(self, position: bytes) -> int | None:
        """Find the number of a message; None where this subscription has not brought it."""
        found = self.find(position)
        if found is None:
            return None
        stretch, number = found
        return number if stretch.end is None or number < stretch.end else None


def parse_position(position: bytes) -> tuple[bytes, int]:
    """Read a position: its tick, and the index behind it, 0 where that is no number."""
    tick, _, index = position.rpartition(b":")
    return tick, int(index) if index.isdigit() else 0
