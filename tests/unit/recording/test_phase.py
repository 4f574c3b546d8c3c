"""Every phase of a recorder and every change: what follows."""

from __future__ import annotations

import pytest

from constellation_ws.recording.phase import Change, Phase, next_phase

MOVES = {
    (Phase.UNSUBSCRIBED, Change.POSITIONED): Phase.CANDIDATE,
    (Phase.CANDIDATE, Change.GRANTED): Phase.RECORDING,
    (Phase.CANDIDATE, Change.INTERRUPTED): Phase.UNSUBSCRIBED,
    (Phase.RECORDING, Change.INTERRUPTED): Phase.INTERRUPTED,
    (Phase.RECORDING, Change.FAILED): Phase.CANDIDATE,
    (Phase.INTERRUPTED, Change.POSITIONED): Phase.CANDIDATE,
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("change", Change)
def test_a_change_moves_a_recorder_where_it_means_something(phase: Phase, change: Change) -> None:
    retires = change is Change.RETIRED
    expected = Phase.RETIRED if retires else MOVES.get((phase, change), phase)
    assert next_phase(phase, change) is expected


def test_who_has_retired_never_records_again() -> None:
    assert {next_phase(Phase.RETIRED, change) for change in Change} == {Phase.RETIRED}


def test_a_lease_is_granted_only_to_who_asks_for_it() -> None:
    granted = {phase for phase in Phase if next_phase(phase, Change.GRANTED) is Phase.RECORDING}
    assert granted == {Phase.CANDIDATE, Phase.RECORDING}
