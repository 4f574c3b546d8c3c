"""The story of a failed run as text: what struck, what gateways logged, what a client saw."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.report import stories
from tests.chaos.verdict import Verdict
from tests.simulation.world import World


def tell(world: World, failures: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    """Write it down: first what is wrong, then everything in the order of time."""
    lines = ["What is wrong:", *(f"  {one}" for one in failures), "", "What happened:"]
    lines += [f"  {ms / 1000:9.3f} {where:10} {text}" for ms, where, text in world.notes]
    wronged = stories(world.ledger, verdicts, world.timeline)
    return "\n".join([*lines, "", "The clients that were wronged first:", wronged])
