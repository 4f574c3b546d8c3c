"""Every phase of a recorder and every event: what follows."""

from __future__ import annotations

import pytest

from constellation_ws.recording.phase import RecorderEvent, RecorderPhase, next_phase

MOVES = {
    (RecorderPhase.UNSUBSCRIBED, RecorderEvent.POSITIONED): RecorderPhase.CANDIDATE,
    (RecorderPhase.CANDIDATE, RecorderEvent.GRANTED): RecorderPhase.RECORDING,
    (RecorderPhase.CANDIDATE, RecorderEvent.INTERRUPTED): RecorderPhase.UNSUBSCRIBED,
    (RecorderPhase.RECORDING, RecorderEvent.INTERRUPTED): RecorderPhase.INTERRUPTED,
    (RecorderPhase.RECORDING, RecorderEvent.DEAF): RecorderPhase.INTERRUPTED,
    (RecorderPhase.RECORDING, RecorderEvent.FAILED): RecorderPhase.CANDIDATE,
    (RecorderPhase.INTERRUPTED, RecorderEvent.POSITIONED): RecorderPhase.CANDIDATE,
    (RecorderPhase.CANDIDATE, RecorderEvent.DEAF): RecorderPhase.UNSUBSCRIBED,
}


@pytest.mark.parametrize("phase", RecorderPhase)
@pytest.mark.parametrize("event", RecorderEvent)
def test_a_change_moves_a_recorder_where_it_means_something(
    phase: RecorderPhase, event: RecorderEvent
) -> None:
    retires = event is RecorderEvent.RETIRED
    expected = RecorderPhase.RETIRED if retires else MOVES.get((phase, event), phase)
    assert next_phase(phase, event) is expected


def test_who_has_retired_never_records_again() -> None:
    assert {next_phase(RecorderPhase.RETIRED, event) for event in RecorderEvent} == {
        RecorderPhase.RETIRED
    }


def test_a_lease_is_granted_only_to_who_asks_for_it() -> None:
    granted = {
        phase
        for phase in RecorderPhase
        if next_phase(phase, RecorderEvent.GRANTED) is RecorderPhase.RECORDING
    }
    assert granted == {RecorderPhase.CANDIDATE, RecorderPhase.RECORDING}
