"""How the events of the stream go to a backend that accepts, refuses or fails. Decisions only.

Events go in batches, one after another in the order of the stream, so each user's are in order. A
batch that fails is sent again until it is accepted. One that the backend refuses is sent again
event by event, so that the one that it does not want is the only one that is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_BATCH = 100
_FIRST_SECONDS, _MOST_SECONDS = 0.5, 30.0
_REFUSING = (400, 413, 422)
"""The backend has read the body and will never accept it. Any other status may change: a wrong key,
a missing route and an overloaded backend are put right."""


class Outcome(Enum):
    """What became of a POST."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"


def judge(status: int) -> Outcome:
    """Say what a status means."""
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    return Outcome.REFUSED if status in _REFUSING else Outcome.FAILED


@dataclass(frozen=True, slots=True)
class Progress:
    """How the next batch is sent."""

    failures: int = 0
    singles: int = 0
    """Events that are sent one by one, because the batch with them was refused."""
    not_before: float = 0.0
    """Monotonic time."""

    @property
    def batch(self) -> int:
        """How many events the next batch has at most."""
        return 1 if self.singles else MAX_BATCH

    def after(self, outcome: Outcome, sent: int, now: float, chance: float) -> Progress:
        """Say how to go on after a batch of so many; `chance` is from 0 up to 1."""
        if outcome is Outcome.FAILED:
            wait = min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self.failures, 16))
            return Progress(self.failures + 1, self.singles, now + wait * (0.5 + chance / 2))
        if outcome is Outcome.REFUSED and sent > 1:
            return Progress(0, sent)
        return Progress(0, max(0, self.singles - sent))

    def is_done(self, outcome: Outcome, sent: int) -> bool:
        """Tell whether a batch of so many is not sent again: it was accepted, or is lost."""
        return outcome is Outcome.ACCEPTED or (outcome is Outcome.REFUSED and sent == 1)


def count_removed(accepted: int, first: int) -> int:
    """Say how many events were removed from the stream between two numbers of it, unsent."""
    return max(0, first - accepted - 1)
