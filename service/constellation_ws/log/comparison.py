"""The log compared with what this pod has received: what is missing there can never be recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from constellation_ws.log.ids import BEGINNING, LogId
from constellation_ws.log.pubsub_positions import Run
from constellation_ws.log.receipt_times import ReceiptTimes
from constellation_ws.log.state import DAMAGES, LeaseReply, Look
from constellation_ws.log.unrecorded import Unrecorded


class Comparison:
    """Finds received messages that the log lacks although later ones are in it."""

    def __init__(self, unrecorded: Unrecorded) -> None:
        self._unrecorded = unrecorded
        self._is_resting = False
        self._times = ReceiptTimes()
        self._recorded = b"", BEGINNING
        """What the recorder said last: a position before which all is recorded, and how far this
        pod has to read the log before it can check that."""
        self.begins_after = BEGINNING
        """Entries up to this one are not compared: some of them may not be read here. So is what
        the recorder said when the log was not longer."""
        self._epoch_began = self._looked_at = -math.inf
        """Monotonic times at which the epoch of the last look began, and of that look, at latest.
        """
        self._epoch_began_earliest = -math.inf
        self._held_until = -math.inf
        self._run_id = self._whole_run_id = self._subscribed_run_id = ""
        """Which start of which Redis was looked at last, had the log without a gap, and is
        subscribed to."""

    def note_received(self, now: float) -> None:
        """Note that what this pod has received by now was received by this monotonic time."""
        self._times.note(now, self._unrecorded.end)

    def note_lease(self, until: float) -> None:
        """Note until which monotonic time no pod but this one can record."""
        self._held_until = until

    def note_subscription(self, run_id: str) -> None:
        """Note which start of which Redis messages are received from now; empty if unknown."""
        self._subscribed_run_id = run_id

    def look(self, look: Look, asked_at: float, looked_at: float) -> None:
        """Note what the log was found to be, between which monotonic times."""
        self._epoch_began, self._looked_at = looked_at - look.age_seconds, looked_at
        self._epoch_began_earliest = asked_at - look.age_seconds
        self._run_id = look.run_id

    def note_whole(self) -> None:
        """Note that the log has lost nothing that was in it before the last look."""
        self._whole_run_id = self._run_id

    def begin_after(self, last: LogId, position: bytes | None) -> None:
        """Note that this pod reads all behind the entry `last`.

        `position` is that of the last entry up to there which has one.
        """
        self.begins_after = last
        self._recorded = b"", BEGINNING  # what a recorder said of an earlier log counts no more
        self._unrecorded.begin_after(position)

    def rest(self) -> None:
        """Compare nothing any more: this pod receives no events, and lacks none that it received.

        `resume` must be called before it subscribes to them again.
        """
        self._is_resting = True
        self._unrecorded.begin_after(None)

    def resume(self) -> None:
        """Compare what is read from here on."""
        self._is_resting = False

    def compare(self, runs: Sequence[Run]) -> int:
        """Compare what is in the log, by its positions, with what was received.

        Returns how many messages are missing.
        """
        return 0 if self._is_resting else self._unrecorded.compare(runs)

    def confirm(self, reply: LeaseReply, delivered: LogId) -> tuple[int, bool]:
        """Compare what the recorder said with what was received, once all that it said is read.

        Returns how many messages are missing, and whether more may be that were sent to this pod.
        """
        return self._confirm_position(reply, delivered), self.has_lost(reply)

    def _confirm_position(self, reply: LeaseReply, delivered: LogId) -> int:
        position, up_to = self._recorded
        if delivered < up_to:
            return 0
        self._recorded = reply.recorded_position, reply.recorded_log_id
        if up_to < self.begins_after:
            return 0
        return self._unrecorded.confirm_position(position)

    def has_lost(self, reply: LeaseReply) -> bool:
        """Return whether what this pod missed may be lost, of what the log had passed before
        `ask` was called: who recorded then had missed it too."""
        return self._unrecorded.filled.answer(reply.late_recorders)

    def ask(self) -> None:
        """Note that Redis is asked now what the recorder says."""
        self._unrecorded.filled.ask()

    def note_gap(self, reason: str) -> None:
        """Note that a new epoch has begun here, or that entries were passed over, and why."""
        end, began = self._unrecorded.end, self._epoch_began
        earlier = self._times.received_before(self._epoch_began_earliest)
        later = self._times.received_after(began, end)
        self._unrecorded.begin_epoch(began, self._doubted(reason), earlier, later)
        self.note_whole()

    def _doubted(self, reason: str) -> int:
        """Return before which message all may have been in the log, which has lost entries.

        None if this pod has recorded all that was recorded, and so knows of each. What came from a
        Redis that was started since was not in the log of the one before.
        """
        if reason not in DAMAGES or self._looked_at < self._held_until:
            return 0
        if self._run_id and self._run_id == self._subscribed_run_id != self._whole_run_id:
            return self._unrecorded.left
        return self._unrecorded.end
