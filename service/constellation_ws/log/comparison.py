"""The log compared with what this pod has received: what is missing there can never be recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.state import DAMAGES, LeaseReply
from constellation_ws.log.unrecorded import Unrecorded


class Comparison:
    """Finds received messages that the log lacks although later ones are in it."""

    def __init__(self, unrecorded: Unrecorded) -> None:
        self._unrecorded = unrecorded
        self._recorded = b"", BEGINNING
        """What the recorder said last: a position before which all is recorded, and how far this
        pod has to read the log before it can check that."""
        self._epoch_began = math.inf
        """Monotonic time at which the epoch of the last look began."""

    def begin_epoch(self, began: float) -> None:
        """Note at which monotonic time the log's epoch began."""
        self._epoch_began = began

    def compare(self, positions: Sequence[bytes]) -> int:
        """Compare entries of the log, by their positions, with what was received.

        Returns how many messages are missing.
        """
        return self._unrecorded.compare(positions)

    def confirm(self, reply: LeaseReply, delivered: LogId) -> int:
        """Compare what the recorder said with what was received, once all that it said is read.

        Returns how many messages are missing.
        """
        position, up_to = self._recorded
        if delivered < up_to:
            return 0
        self._recorded = reply.recorded_position, reply.recorded_log_id
        return self._unrecorded.confirm_position(position)

    def note_gap(self, reason: str) -> None:
        """Note that entries were passed over: which messages are missing there is not known."""
        self._unrecorded.lose_track(self._epoch_began)
        self._unrecorded.forgive()
        if reason in DAMAGES:
            self._unrecorded.doubt()
