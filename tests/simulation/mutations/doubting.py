"""What pods know of a log that is not what it was, and of each other's messages."""

from __future__ import annotations

from collections.abc import Sequence

from constellation_ws.log import epochs, state
from constellation_ws.log.comparison import Comparison
from constellation_ws.log.epochs import Epochs
from constellation_ws.log.filled_holes import FilledHoles
from constellation_ws.log.pubsub_positions import Run, Stretch
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.recording import recorder
from tests.simulation.mutations.kinds import Mutation


def epoch_comes_back() -> None:
    """An epoch that was ended is taken for a new one where Redis has gone back to it."""
    for module in (epochs, state):
        module.is_outdated = lambda epoch, known: False  # type: ignore[attr-defined]


def nothing_doubted() -> None:
    """What a lost log may have held is recorded again."""
    Comparison._doubted = lambda self, reason: 0  # type: ignore[method-assign]


def left_unrecorded() -> None:
    """A pod that stops does not wait until what it has received is recorded."""

    async def leave(*_: object) -> None:
        """Wait for nothing."""

    recorder.await_recorded = leave  # type: ignore[assignment, attr-defined]


def counted_together() -> None:
    """As many entries as messages are taken for the same ones."""
    count = Unrecorded._count_missing

    def compare(self: Unrecorded, runs: Sequence[Run], last: Stretch, due: range) -> int:
        is_as_many = len(due) == sum(run.length for run in runs)
        return 0 if is_as_many else count(self, runs, last, due)

    Unrecorded._count_missing = compare  # type: ignore[method-assign]


def late_recorders_trusted() -> None:
    """What a pod missed is taken for recorded, though who recorded had missed it too."""
    FilledHoles.answer = lambda self, late: False  # type: ignore[method-assign]


def anyone_vouches() -> None:
    """A pod confirms the log of a restarted Redis, though it has not followed the one before."""
    Epochs._may_vouch = lambda self, look: True  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "epoch-comes-back", "an epoch that was ended is taken for a new one",
        "kill-pubsub+rollback+away", epoch_comes_back,
    ),
    Mutation(
        "nothing-doubted", "what a lost log may have held is recorded again",
        "pause+empty-restart", nothing_doubted,
    ),
    Mutation(
        "left-unrecorded", "a pod stops with messages that only it has received",
        "kill-pubsub+roll-all", left_unrecorded,
    ),
    Mutation(
        "late-recorders-trusted", "a recorder is trusted to have what it missed too",
        "delay-pubsub+kill-recorder", late_recorders_trusted,
    ),
    Mutation(
        "anyone-vouches", "a pod confirms what it has not followed",
        "restart+pause-all+isolate-pod+rollback", anyone_vouches,
    ),
    Mutation(
        "counted-together", "entries are compared with messages by how many there are",
        "kill-pubsub+hold-append", counted_together,
    ),
)  # fmt: skip
