"""Faults of the gateway that the simulation must find: each breaks one rule in one place.

They are patches of a process that runs one world. `python -m tests.simulation.mutations` finds out
how many seeds each takes.
"""

from __future__ import annotations

from tests.simulation.mutations import (
    dividing,
    doubting,
    listening,
    proving,
    recording,
    reporting,
    sessions,
    staying,
)
from tests.simulation.mutations.kinds import Mutation

MUTATIONS: dict[str, Mutation] = {
    mutation.name: mutation
    for module in (dividing, doubting, listening, proving, recording, reporting, sessions, staying)
    for mutation in module.MUTATIONS
}
