"""The phases of one pod's recorder, and the events that change them.

Pure. The phases and their transitions, as a table:

| phase | on | next |
| --- | --- | --- |
| UNSUBSCRIBED | a tick was received | CANDIDATE |
| CANDIDATE | the lease was granted and the log is delivered up to its end | RECORDING |
| CANDIDATE | the subscription ended, or does not bring this pod's own tick | UNSUBSCRIBED |
| RECORDING | the subscription ended, or does not bring this pod's own ticks | INTERRUPTED |
| RECORDING | another pod records, Redis refuses, or an append is unanswered | CANDIDATE |
| INTERRUPTED | a tick was received | CANDIDATE |
| any | this pod retires | RETIRED |

Messages that are received while a pod does not record are retained too: see `log/unrecorded`.
"""

from __future__ import annotations

from enum import Enum, auto


class RecorderPhase(Enum):
    """What the recorder is doing."""

    UNSUBSCRIBED = auto()
    """There is no subscription, or a tick that it should bring has not arrived."""
    CANDIDATE = auto()
    """It asks for the lease."""
    RECORDING = auto()
    """It holds the lease and appends."""
    INTERRUPTED = auto()
    """It missed messages that other pods have: those record from before the interruption on."""
    RETIRED = auto()
    """It will never record again."""


class RecorderEvent(Enum):
    """What happens to a recorder."""

    POSITIONED = auto()
    GRANTED = auto()
    INTERRUPTED = auto()
    DEAF = auto()
    FAILED = auto()
    RETIRED = auto()


_NEXT = {
    (RecorderPhase.UNSUBSCRIBED, RecorderEvent.POSITIONED): RecorderPhase.CANDIDATE,
    (RecorderPhase.INTERRUPTED, RecorderEvent.POSITIONED): RecorderPhase.CANDIDATE,
    (RecorderPhase.CANDIDATE, RecorderEvent.GRANTED): RecorderPhase.RECORDING,
    (RecorderPhase.CANDIDATE, RecorderEvent.INTERRUPTED): RecorderPhase.UNSUBSCRIBED,
    (RecorderPhase.CANDIDATE, RecorderEvent.DEAF): RecorderPhase.UNSUBSCRIBED,
    (RecorderPhase.RECORDING, RecorderEvent.INTERRUPTED): RecorderPhase.INTERRUPTED,
    (RecorderPhase.RECORDING, RecorderEvent.DEAF): RecorderPhase.INTERRUPTED,
    (RecorderPhase.RECORDING, RecorderEvent.FAILED): RecorderPhase.CANDIDATE,
}


def next_phase(phase: RecorderPhase, event: RecorderEvent) -> RecorderPhase:
    """Return the phase after an event; one that means nothing in a phase leaves it as it is."""
    if event is RecorderEvent.RETIRED:
        return RecorderPhase.RETIRED
    return _NEXT.get((phase, event), phase)
