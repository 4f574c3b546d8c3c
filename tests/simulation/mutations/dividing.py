"""Several partitions: what sessions are resumed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from constellation_ws.log.places import Place
from constellation_ws.messages.frames import Frame
from constellation_ws.recording import hold
from constellation_ws.recovery import missed as module
from constellation_ws.recovery.replay import Replay
from tests.simulation.mutations.kinds import Mutation

_hold: Any = hold


def first_alone() -> None:
    """What a session missed in other partitions than the first is not replayed."""
    in_one_row = module._in_one_row

    def leave_out(missed: Sequence[Replay], after: Place, delivered: Place) -> list[Frame]:
        others = [Replay([], one.rooms, one.moves) for one in missed[1:]]
        return in_one_row([missed[0], *others], after, delivered)

    module._in_one_row = leave_out


def width_trusted() -> None:
    """A pod that has just started takes what Redis says for the number of partitions."""
    _hold.RETURN_SECONDS = 0.0


MUTATIONS = (
    Mutation(
        "first-alone", "what was missed in other partitions than the first is not replayed",
        "cut-clients", first_alone, partitions=3,
    ),
    Mutation(
        "width-trusted", "a new pod trusts a Redis that is empty to know the number of partitions",
        "kill+empty-restart+hang", width_trusted, partitions=3,
    ),
)  # fmt: skip
