"""What the subscription brings: divided among the recorders of the partitions; the rest goes on.

All pods divide the same messages in the same way: see `width`, and `hold` for the begin of a
subscription.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from constellation_ws.messages.commands import Handover
from constellation_ws.recording.hold import Hold
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recording.width import Mark, Width, read_mark
from constellation_ws.redis_io.bus import Published
from constellation_ws.redis_io.names import Names

logger = structlog.get_logger(__name__)

Receive = Callable[[list[Published]], list[Published]]


class Intake:
    """Divides what is received. All of it is `def`: a read is one step."""

    def __init__(
        self,
        names: Names,
        recorders: Sequence[Recorder],
        width: Width,
        hold: Hold,
        volatile: frozenset[bytes] = frozenset(),
    ) -> None:
        """`recorders` are in the order of their partitions.

        Messages on `volatile` channels are never recorded. All pods must agree on these.
        """
        self._width = width
        self._partitioning = width.partitioning
        self._ticks = {
            names.of_partition(number).ticks.encode(): number for number in range(width.most)
        }
        self._passed_on = frozenset((*volatile, names.commands.encode()))
        self._hold = hold
        self._recorders = recorders
        self.receive: Receive = self._retain if width.is_fixed else self._hold_or_divide
        """Receives one read from Pub/Sub: retains events; returns commands and volatile ones."""

    def _retain(self, batch: list[Published]) -> list[Published]:
        """Do it where there is one partition."""
        recorder, ticks, others = self._recorders[0], self._ticks, self._passed_on
        passed_on: list[Published] = []
        retain, has_events = recorder.retain, False
        recorder.hear()
        for channel, payload in batch:
            if channel in ticks:
                recorder.receive_tick(payload)
            elif channel in others:
                passed_on.append((channel, payload))
            else:
                retain(channel, payload)
                has_events = True
        recorder.end_read(has_events=has_events)
        return passed_on

    def _hold_or_divide(self, batch: list[Published]) -> list[Published]:
        """Do it where there are several."""
        for recorder in self._recorders:
            recorder.hear()
        return self._hold_back(batch) if self._hold.is_on else self._divide(batch)

    def _divide(self, batch: list[Published]) -> list[Published]:
        recorders, ticks, passed_on = self._recorders, self._ticks, list[Published]()
        find, filled = self._partitioning.find, set[int]()
        for channel, payload in batch:
            if channel in ticks:
                self._receive_tick(ticks[channel], payload)
            elif channel in self._passed_on:
                passed_on.append((channel, payload))
            else:
                number = find(channel, payload)
                recorders[number].retain(channel, payload)
                filled.add(number)
        for number in filled:
            recorders[number].end_read(has_events=True)
        return passed_on

    def _receive_tick(self, number: int, tick: bytes) -> None:
        """Receive a tick. Those of the first partition mark a place in all others as well.

        Among them are those with which subscriptions begin, and those that change the width.
        """
        if number:
            self._recorders[number].receive_tick(tick)
            return
        for recorder in self._recorders:
            recorder.receive_tick(tick)
        mark = read_mark(tick)
        if mark is not None and mark.after > self._partitioning.width:
            self._widen(mark)

    def _widen(self, mark: Mark) -> None:
        """Divide what follows among more partitions; a pod that follows fewer has ended by then."""
        before = self._partitioning.width
        self._partitioning.widen(min(mark.after, self._width.most))
        if mark.before > before:
            # It was changed before already, and this pod did not see it: what it has received has
            # wrong positions, and it may have put something where others did not.
            logger.error("this pod has divided events among too few partitions of the log")
            for recorder in self._recorders:
                recorder.interrupted(is_lossy=True)
        else:
            for recorder in self._recorders[before : self._partitioning.width]:
                recorder.begin_whole()

    # At the begin of a subscription

    async def run(self) -> None:
        """Let go what is held back, for ever, as soon as Redis has said how to divide it."""
        while True:
            await self._hold.due()
            self._let_go(self._width.known)

    def _hold_back(self, batch: list[Published]) -> list[Published]:
        passed_on = [one for one in batch if one[0] in self._passed_on]
        held = [one for one in batch if one[0] not in self._passed_on]
        if self._hold.add(held):
            self._recorders[0].ask_now()
        ticks = (payload for channel, payload in held if self._ticks.get(channel) == 0)
        mark = next(filter(None, map(read_mark, ticks)), None)
        if mark is not None:
            self._let_go(mark.before)
        return passed_on

    def _let_go(self, width: int) -> None:
        """Divide what was held back among so many partitions, and what follows as it comes."""
        self._partitioning.widen(min(width, self._width.most))
        self._divide(self._hold.end())

    # The subscription

    def take_over(self, handover: Handover) -> None:
        """Have a recorder ask for its lease now, which another pod has released."""
        if handover.partition < len(self._recorders):
            self._recorders[handover.partition].take_over(handover)

    def interrupted(self, *, is_lossy: bool) -> None:
        """Note that the subscription ended; `is_lossy`: Redis may have sent what never arrived."""
        if self._hold.is_on:
            self._let_go(self._width.known)
        self._hold.begin()
        for recorder in self._recorders:
            recorder.interrupted(is_lossy=is_lossy)

    def change(self, *, listens: bool) -> None:
        """Note whether the subscription brings events from here on."""
        for recorder in self._recorders:
            recorder.change(listens=listens)
