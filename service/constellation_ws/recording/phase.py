"""What the recorder of one pod may be doing, and what moves it from one phase to another.

Pure. The phases and their transitions, as a table:

| phase | on | next |
| --- | --- | --- |
| UNSUBSCRIBED | a tick was received | CANDIDATE |
| CANDIDATE | the lease was granted and the log is delivered up to its end | RECORDING |
| CANDIDATE | the subscription ended | UNSUBSCRIBED |
| RECORDING | the subscription ended | INTERRUPTED |
| RECORDING | another pod records, Redis refuses, or an append is unanswered | CANDIDATE |
| INTERRUPTED | a tick was received | CANDIDATE |
| any | this pod retires | RETIRED |

What is received while a pod is not recording is retained all the same: see `recording`.
"""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """What the recorder is doing."""

    UNSUBSCRIBED = auto()
    """There is no subscription, or its first tick has not arrived."""
    CANDIDATE = auto()
    """It asks for the lease."""
    RECORDING = auto()
    """It holds the lease and appends."""
    INTERRUPTED = auto()
    """It missed messages that other pods have: they go on from before the interruption."""
    RETIRED = auto()
    """It will never record again."""


class Change(Enum):
    """What happens to a recorder."""

    POSITIONED = auto()
    GRANTED = auto()
    INTERRUPTED = auto()
    FAILED = auto()
    RETIRED = auto()


_NEXT = {
    (Phase.UNSUBSCRIBED, Change.POSITIONED): Phase.CANDIDATE,
    (Phase.INTERRUPTED, Change.POSITIONED): Phase.CANDIDATE,
    (Phase.CANDIDATE, Change.GRANTED): Phase.RECORDING,
    (Phase.CANDIDATE, Change.INTERRUPTED): Phase.UNSUBSCRIBED,
    (Phase.RECORDING, Change.INTERRUPTED): Phase.INTERRUPTED,
    (Phase.RECORDING, Change.FAILED): Phase.CANDIDATE,
}


def next_phase(phase: Phase, change: Change) -> Phase:
    """Give the phase after a change; one that means nothing in a phase leaves it as it is."""
    if change is Change.RETIRED:
        return Phase.RETIRED
    return _NEXT.get((phase, change), phase)
