"""What this pod received from Pub/Sub and has not seen in the log yet.

Pure. All pods receive one stream. Ticks that are published into that stream give each message a
position that is the same on every pod, so equal messages in a row are distinguished by position,
not by content. The recorder appends in the order of the stream, so what the log holds of it is a
prefix: one position says what is recorded and what is not, whatever any clock says.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from constellation_ws.log.filled_holes import FilledHoles
from constellation_ws.log.pubsub_positions import Hole, Received, Run, Stretch, Stretches
from constellation_ws.log.read_ahead import ReadAhead

_UNKNOWN = sys.maxsize
_OBJECT_BYTES = 200  # of one message beside its payload: measured, 64-bit CPython


class Unrecorded:
    """The messages that the log lacks, in the order of the stream, numbered by this pod.

    They are retained until they are seen in the log, however long Redis refuses to record them.
    Above the bound the oldest are discarded, which counts as a hole.
    """

    def __init__(self, instance: bytes, max_bytes: int) -> None:
        """`instance` is this process's own; `max_bytes` bounds payloads and objects."""
        self._instance = instance
        self._max_bytes = max_bytes
        self._bytes = 0
        self._received: deque[Received] = deque()
        self._first = 0
        self._interruptions = 0
        self._stretches = Stretches()
        self._tick, self._index = b"", 0
        self._is_provisional = True
        self._holes: list[Hole] = []
        self.filled = FilledHoles()
        self._late = 0  # recorders at the last tick: holes begin behind it
        self._recorded = 0  # all before it are in the log; it may be ahead of this subscription
        self._ahead = ReadAhead()
        self._compared_from = _UNKNOWN
        """Messages from this number on are missing if the log passes them over. Of those before it
        an entry may be among those that were never read here."""
        self._doubted = 0
        """Messages before this number may have been in a log that has lost them."""
        self._epoch_began = -math.inf
        self.left, self._left_at = 0, -math.inf
        """Messages before this number came on a subscription that has ended; when the last did."""
        self._excused = 0
        """If messages before this number are lost, that was reported with the epoch."""
        self.discarded = 0  # above the bound, in all
        self._begin_provisional(is_lossy=False)

    @property
    def is_positioned(self) -> bool:
        """Whether a tick was received since the subscription began."""
        return not self._is_provisional

    @property
    def begin(self) -> int:
        """Number of the oldest message that the log lacks, as far as is known here."""
        return self._first

    @property
    def end(self) -> int:
        """Number of the next message. Numbers are this pod's own and never reused."""
        return self._first + len(self._received)

    @property
    def has_hole(self) -> bool:
        """Whether another pod may have messages that this one missed, and should record first."""
        return bool(self._holes)

    @property
    def is_lossy(self) -> bool:
        """Whether messages that Redis counted as received may be missing here and in the log."""
        return any(hole.is_lossy for hole in self._holes)

    @property
    def recorded_position(self) -> bytes:
        """The position before which everything is recorded."""
        if self._received:
            return self._received[0].position
        return b"%b:%d" % (self._tick, self._index)

    def tick(self, name: bytes) -> int:
        """Receive a tick: positions count from here.

        Returns how many messages are missing in the log, where entries behind this tick were read.
        """
        stretch = self._begin_stretch(name)
        self._is_provisional, self._late = False, self.filled.late
        ahead = self._ahead.take(name)
        if ahead is None:
            return 0
        if ahead.is_begin:
            self._compared_from = self.end + ahead.begin
        missing = ahead.missing + self._count_retained(self.end)
        self._note_recorded(stretch, self.end + ahead.end)
        return missing

    def interrupt(self, *, is_lossy: bool, received_at: float, noted_at: float) -> None:
        """Note that the subscription ended. Until the next tick positions are provisional.

        `is_lossy` says that Redis may have sent what never arrived; `received_at` is the monotonic
        time in seconds at which the last message was received, `noted_at` that of now.
        """
        self.left, self._left_at = self.end, received_at
        if received_at <= self._epoch_began:
            self._excuse(self.left)
        self._begin_provisional(is_lossy=is_lossy, noted_at=noted_at)

    def receive(self, channel: bytes, payload: bytes) -> None:
        """Retain one message, unless it is in the log already."""
        if self._first < self._recorded and not self._received:
            self._first += 1
            self._index += 1
            return
        self._received.append(Received(self._tick, self._index, channel, payload))
        self._index += 1
        self._bytes += len(payload) + _OBJECT_BYTES
        if self._bytes > self._max_bytes:
            self._discard()

    def since(self, number: int, most: int) -> list[Received]:
        """Return up to `most` messages from this number on."""
        skip = max(0, number - self._first)
        return list(islice(self._received, skip, skip + most))

    def confirm(self, number: int) -> None:
        """Note that this pod's own appends have recorded all before this number."""
        self._drop_before(number)

    def confirm_position(self, position: bytes) -> int:
        """Note that all before this position is recorded, as the recorder said.

        Called once this pod has read the log as far as it went then. Returns how many messages it
        has not found there: they will never be recorded.
        """
        found = self._stretches.find(position)
        if found is None:
            return 0
        stretch, number = found[0], found[0].clamp(found[1])
        missing = self._count_retained(number)
        self._note_recorded(stretch, number)
        return missing

    def begin_after(self, position: bytes | None) -> None:
        """Begin to compare: all entries behind this position of the log will be read here.

        None says that the log holds none. An unknown tick is one of a time before this
        subscription, unless it is received yet.
        """
        self._ahead.clear()
        self._compared_from = self.left
        if position is None:
            return
        found = self._stretches.find(position)
        if found is None:
            self._ahead.begin(position)
        else:
            stretch, number = found
            self._compared_from = stretch.clamp(number + 1)
            self._note_recorded(stretch, self._compared_from)

    def compare(self, runs: Sequence[Run]) -> int:
        """Note the positions of what was read from the log, in its order.

        Returns how many messages are missing there though later ones are in it: they will never
        be recorded, since the order of the stream cannot be kept any more.
        """
        last = self._stretches.find_last(runs)
        if last is None:
            self._ahead.add(runs)
            return 0
        stretch, number, place = last
        self._ahead.clear()
        self._ahead.add(runs[place + 1 :])
        # The log may be ahead of this subscription, or continue after it has ended.
        due = range(max(self._first, self._recorded), stretch.clamp(number + 1))
        missing = self._count_missing(runs[: place + 1], stretch, due)
        self._note_recorded(stretch, due.stop)
        return missing

    def _count_retained(self, end: int) -> int:
        """Count the messages before a number that the log was not seen to have."""
        return max(0, min(end, self.end) - max(self._first, self._compared_from))

    def _count_missing(self, runs: Sequence[Run], last: Stretch, due: range) -> int:
        """Count the messages of these numbers that are not in runs which end in this stretch."""
        wanted = range(max(due.start, self._compared_from), due.stop)
        if not wanted or self._stretches.is_row(runs, last, due):
            return 0
        return len(wanted) - len(self._stretches.numbers(runs).intersection(wanted))

    def give_up(self) -> tuple[int, bool]:
        """Discard what must not be recorded any more.

        Called once all that was published before this pod got the lease is received. Besides what
        is in doubt, that is what earlier subscriptions brought, where the log ends with entries of
        the time between: its place is before these.

        Returns how many messages that were, and whether the epoch has told the sessions concerned.
        """
        end = min(max(self._doubted, self.left if self._ahead else 0), self.end)
        count, is_reported = max(0, end - self._first), end <= max(self._excused, self._first)
        self._drop_before(end)
        return count, is_reported

    def begin_epoch(self, began: float, doubted: int, earlier: int, later: int) -> None:
        """Note that what was lost before the log's epoch is reported.

        `began` is the monotonic time in seconds at which it began: all before `earlier` came before
        it, all from `later` on after it. Pods leave a former primary one after the other: what the
        last of them receives there may come after it, and sessions of the new epoch wait for that.
        Likewise what Redis sent into a subscription that was found dead later than that.

        The log may have held the messages before the number `doubted`, and have lost them. A pod
        that knows better records first; else the others give them up, and they are lost: what was
        delivered must not be recorded again.
        """
        self._epoch_began = began
        self._holes = [hole for hole in self._holes if hole.is_lossy and hole.noted_at > began]
        self.filled.begin_epoch(began)
        if self._is_provisional:  # whatever is published meanwhile is missed after all
            self._holes.append(Hole(self.end, self._interruptions, is_lossy=False, late=0))
        self._excuse(max(earlier, self.left if self._left_at <= began else 0))
        if doubted > self._first:
            self._doubted = doubted
            if self._left_at <= began:
                self._compared_from = max(self._compared_from, min(doubted, later))
            self._holes.append(Hole(self.end, 0, is_lossy=False, late=0))

    def note_left(self, position: bytes) -> None:
        """Note that a pod leaves with unrecorded messages from there on: known, or missed here."""
        if self._holes and self._stretches.find(position) is None:
            self._holes = [replace(hole, is_lossy=True) for hole in self._holes]

    def _excuse(self, end: int) -> None:
        """Note that messages before this number are reported with the epoch, if they are lost."""
        self._compared_from = max(self._compared_from, end)
        self._excused = max(self._excused, end)

    def forgive(self) -> None:
        """Note that the holes were reported: this pod does not wait for others any more."""
        self._holes.clear()
        self.filled.clear()

    def _begin_provisional(self, *, is_lossy: bool, noted_at: float = -math.inf) -> None:
        self._interruptions += 1
        # Unlike any tick: no other pod can have positions behind it.
        self._begin_stretch(b"%b~%d" % (self._instance, self._interruptions))
        self._is_provisional = True
        self._holes.append(Hole(self.end, self._interruptions, is_lossy, self._late, noted_at))

    def _begin_stretch(self, tick: bytes) -> Stretch:
        # Others may have received, and recorded, more of the stretch that ends here.
        self._recorded = min(self._recorded, self.end)
        self._tick, self._index = tick, 0
        return self._stretches.begin(tick, self.end, self._interruptions)

    def _discard(self) -> None:
        """Discard the oldest: the newest may still be recorded in time."""
        while self._bytes > self._max_bytes and self._received:
            self._pop(1)
            self.discarded += 1
        later = [hole for hole in self._holes if hole.number > self._first]
        self._holes = [Hole(self._first, 0, is_lossy=True, late=self._late), *later]

    def _note_recorded(self, stretch: Stretch, number: int) -> None:
        """Note that all before a number is in the log, and something of this stretch is.

        So all before the stretch is in the log as well, what this pod missed included, unless who
        recorded it had missed that too.
        """
        if self._holes:
            passed = [hole for hole in self._holes if hole.is_before(stretch)]
            self.filled.add(hole for hole in passed if hole.is_lossy)
            self._holes = [hole for hole in self._holes if not hole.is_before(stretch)]
        self._recorded = max(self._recorded, number)
        self._drop_before(number)

    def _drop_before(self, number: int) -> None:
        self._pop(min(number - self._first, len(self._received)))

    def _pop(self, count: int) -> None:
        pop, payload_bytes = self._received.popleft, 0
        for _ in range(count):
            payload_bytes += len(pop().payload)
        if count > 0:
            self._bytes -= payload_bytes + count * _OBJECT_BYTES
            self._first += count
