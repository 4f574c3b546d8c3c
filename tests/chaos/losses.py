"""Whether the gateways counted what was lost.

Pure. A loss that no metric shows is one that an operator never learns of, however well the clients
took it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable

from tests.chaos.ledger import Event
from tests.chaos.timeline import Timeline

_EARLY_MS = 1_000


class Counts:
    """Samples of a counter of losses, for each pod."""

    def __init__(self) -> None:
        self._samples: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    def sample(self, pod: str, ms: float, total: float) -> None:
        """Note what a pod's counter said at a moment; in the order of time."""
        self._samples[pod].append((ms, total))

    def rose(self, start_ms: float, end_ms: float) -> bool:
        """Tell whether the counter of any pod rose within this time. A pod begins with 0."""
        return any(
            _at(samples, end_ms) > _at(samples, start_ms) for samples in self._samples.values()
        )


def _at(samples: list[tuple[float, float]], ms: float) -> float:
    place = bisect_right(samples, ms, key=lambda one: one[0])
    return samples[place - 1][1] if place else 0.0


def unreported(lost: Iterable[Event], counts: Counts, timeline: Timeline) -> list[Event]:
    """Give the lost events for which no pod counted a loss in time, each once."""
    events = {event.number: event for event in lost}
    return [
        event
        for event in events.values()
        if not counts.rose(event.sent_ms - _EARLY_MS, timeline.deadline(event.settled_ms))
    ]
