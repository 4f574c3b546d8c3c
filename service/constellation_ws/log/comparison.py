"""The log compared with what this pod has received: what is missing there can never be recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.pubsub_positions import Run
from constellation_ws.log.state import DAMAGES, LeaseReply
from constellation_ws.log.unrecorded import Unrecorded


class Comparison:
    """Finds received messages that the log lacks although later ones are in it."""

    def __init__(self, unrecorded: Unrecorded) -> None:
        self._unrecorded = unrecorded
        self._recorded = b"", BEGINNING
        """What the recorder said last: a position before which all is recorded, and how far this
        pod has to read the log before it can check that."""
        self._begins_after = BEGINNING
        """What the recorder said when the log was not longer than this may be about entries that
        this pod has not read."""
        self._epoch_began = -math.inf
        """Monotonic time at which the epoch of the last look began."""

    def begin_epoch(self, began: float) -> None:
        """Note at which monotonic time the log's epoch began."""
        self._epoch_began = began

    def begin_after(self, last: LogId, position: bytes | None) -> None:
        """Note that this pod reads all behind the entry `last`.

        `position` is that of the last entry up to there which has one.
        """
        self._begins_after = last
        self._unrecorded.begin_after(position)

    def pass_over(self, last: LogId) -> None:
        """Note that this pod has not read some of the entries up to `last`."""
        self._begins_after = last
        self._unrecorded.pass_over()

    def compare(self, runs: Sequence[Run]) -> int:
        """Compare what is in the log, by its positions, with what was received.

        Returns how many messages are missing.
        """
        return self._unrecorded.compare(runs)

    def confirm(self, reply: LeaseReply, delivered: LogId) -> int:
        """Compare what the recorder said with what was received, once all that it said is read.

        Returns how many messages are missing.
        """
        position, up_to = self._recorded
        if delivered < up_to:
            return 0
        self._recorded = reply.recorded_position, reply.recorded_log_id
        if up_to < self._begins_after:
            return 0
        return self._unrecorded.confirm_position(position)

    def note_gap(self, reason: str) -> None:
        """Note that a new epoch has begun here, or that entries were passed over, and why."""
        self._unrecorded.begin_epoch(self._epoch_began, is_in_doubt=reason in DAMAGES)
