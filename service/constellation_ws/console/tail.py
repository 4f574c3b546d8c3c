"""Events as they pass, for those who look: a bounded sample, taken beside the delivery.

While nobody looks a batch costs one comparison. While somebody does, events are counted, and some
of them are routed a second time to tell what becomes of them: the delivery itself does not change.
Which ones follows from their content, so that all pods show the same.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constellation_ws.console.describing import Described, Describing
from constellation_ws.console.questions import PodTail, Seen, Tail

TAIL_SECONDS = 10.0
"""How long a tail lasts after its last question."""
MAX_TAILS = 4
"""Who looks fifth ends the tail of the one that has asked least lately."""
MAX_KEPT = 200
MAX_ANSWER_BYTES = 200_000
_EVENT_BYTES = 500
"""About what an event takes in an answer, without its text."""
SHOWN_PER_SECOND = 60
EXAMINED_PER_SECOND = 1_000
"""Where a room is asked for, each event has to be routed to see whether it is for that room."""
_MAX_SHIFT = 20

Entry = tuple[bytes, bytes, bytes]
"""Log ID, channel and payload."""


@dataclass(slots=True)
class _Second:
    """One second of a tail: how many events were offered, and how many may be examined."""

    began_at: float
    offered: int = 0
    examined: int = 0


class _Viewer:
    """One tail."""

    def __init__(self, query: Tail, now: float) -> None:
        self.query = query
        self.asked_at = now
        self._channel = query.channel.encode()
        self._most = EXAMINED_PER_SECOND if query.room else SHOWN_PER_SECOND
        self._kept: deque[tuple[int, Described]] = deque(maxlen=MAX_KEPT)
        self._number = 0
        self._passed = 0
        self._second = _Second(now)
        self._shift = 0
        """One of 2^shift events is examined."""

    def offer(self, channel: bytes, digest: int, now: float) -> bool:
        """Count an event; return whether it is to be described."""
        if self._channel and channel != self._channel:
            return False
        self._passed += 1
        second = self._second
        if now - second.began_at >= 1:
            self._shift = _shift(second.offered, self._most)
            second = self._second = _Second(now)
        second.offered += 1
        if digest & ((1 << self._shift) - 1) or second.examined >= self._most:
            return False
        second.examined += 1
        return True

    def take(self, one: Described) -> None:
        """Keep an event, if it is asked for."""
        if self.query.room and self.query.room not in one.all_rooms:
            return
        self._number += 1
        self._kept.append((self._number, one))

    def answer(self, after: int, limit: int, now: float) -> PodTail:
        """Give what came after the event with this number, as far as an answer may go."""
        # A number that was never given is another process's: its pod has been started again.
        after = after if after <= self._number else 0
        events, size = list[Seen](), 0
        for number, one in reversed(self._kept):
            size += _EVENT_BYTES + 2 * len(one.text or "")
            if number <= after or len(events) >= limit or size > MAX_ANSWER_BYTES:
                break
            events.append(one.seen(number, now))
        passed, self._passed = self._passed, 0
        return PodTail(self._number, passed, events[::-1])


def _shift(offered: int, most: int) -> int:
    """Give the smallest shift by which so many become few enough."""
    shift = 0
    while offered >> shift > most and shift < _MAX_SHIFT:
        shift += 1
    return shift


class Tails:
    """All tails of this pod."""

    def __init__(self, describing: Describing) -> None:
        self._describing = describing
        self._viewers: dict[str, _Viewer] = {}
        self._lasts_until = 0.0
        """Until then no tail ends, whatever its viewer does."""
        self.is_on = False
        """Whether anybody looks: asked before each batch."""

    def answer(self, query: Tail) -> PodTail:
        """Answer a viewer; its first question begins its tail."""
        now = time.monotonic()
        self._end_old(now)
        viewer = self._viewers.pop(query.viewer, None)
        if viewer is None or (viewer.query.channel, viewer.query.room) != (
            query.channel,
            query.room,
        ):
            viewer = _Viewer(query, now)
        viewer.asked_at = now
        self._viewers[query.viewer] = viewer
        while len(self._viewers) > MAX_TAILS:
            del self._viewers[next(iter(self._viewers))]
        self._end_old(now)
        after = query.after.get(self._describing.instance, 0)
        return viewer.answer(after, min(query.limit, MAX_KEPT), now)

    def look(self, batch: Sequence[Entry], age_seconds: float | None) -> None:
        """Look at a batch before it is delivered; `age_seconds` is that of its newest entry."""
        now, describing = time.monotonic(), self._describing
        if now > self._lasts_until:
            self._end_old(now)
        viewers = self._viewers.values()
        for entry in batch:
            if not describing.is_shown(entry[1], entry[2]):
                continue
            digest = zlib.crc32(entry[0] or entry[2])
            wanted = [one for one in viewers if one.offer(entry[1], digest, now)]
            if wanted:
                age = describing.age(entry[0], batch[-1][0], age_seconds)
                described = describing.describe(entry, digest, age, now)
                for viewer in wanted:
                    viewer.take(described)

    def _end_old(self, now: float) -> None:
        viewers: Mapping[str, _Viewer] = self._viewers
        for name in [n for n, one in viewers.items() if now - one.asked_at > TAIL_SECONDS]:
            del self._viewers[name]
        asked_at = [one.asked_at for one in self._viewers.values()]
        self._lasts_until = min(asked_at, default=now) + TAIL_SECONDS
        self.is_on = bool(asked_at)
