"""When which disaster was in force, and what that excuses.

Pure. A disaster is `lossy` if it may cost events or sessions at all: then a loss is allowed, as
long as it is reported. Links that are cut, pods that are replaced or killed excuse nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REPORT_MS = 10_000
"""Within this much time without a lossy disaster a loss must have been reported to the sessions.

A lease of two seconds, its successor, and a drain window of two seconds fit in with a margin."""
LAG_MS = 1_500
"""How far a pod may be behind another one while nothing is wrong."""
TAKE_OVER_MS = 5_000
"""After a disaster events may wait for a pod that becomes the recorder: for the lease of one that
died, two seconds, for the next pod to ask, and where all listeners were replaced for one of them
that may return (`seats.RETURN_SECONDS`)."""
CALM = "calm"
STARVED = "starved"
"""The machine did not let the judge run, and so nobody else for certain: no disaster of ours."""
FORMER = "former run"
"""What struck the same gateways before this run."""
_NAMELESS = (STARVED, FORMER)


@dataclass(slots=True)
class Strike:
    """One disaster. `end_ms` is None while it lasts."""

    name: str
    start_ms: int
    end_ms: int | None = None
    is_lossy: bool = False
    group: str | None = None
    """The clients that it strikes; None where it strikes everybody."""
    delays: bool = False
    """Whether pods are late while it lasts, though it loses nothing."""

    def ends(self) -> float:
        return float("inf") if self.end_ms is None else self.end_ms


class Timeline:
    """All disasters of a run, in the order in which they began."""

    def __init__(self, strikes: Iterable[Strike] = ()) -> None:
        self.strikes = sorted(strikes, key=lambda one: one.start_ms)
        self.cuts: list[tuple[float, float]] = []
        """When the links on which Redis publishes to gateways were cut, in milliseconds."""

    def begin(self, strike: Strike) -> Strike:
        """Add one that begins now."""
        self.strikes.append(strike)
        return strike

    def name_at(self, moment_ms: float) -> str:
        """Name the latest disaster that had begun: what happened then counts as its doing."""
        begun = [
            one.name
            for one in self.strikes
            if one.start_ms <= moment_ms and one.name not in _NAMELESS
        ]
        return begun[-1] if begun else CALM

    def names(self) -> list[str]:
        """Name the disasters, in the order in which each struck first."""
        return list(dict.fromkeys(one.name for one in self.strikes if one.name not in _NAMELESS))

    def starved_ms(self) -> float:
        """Say for how long the machine was too busy."""
        return sum(one.ends() - one.start_ms for one in self.strikes if one.name == STARVED)

    def deadline(self, moment_ms: float, group: str | None = None) -> float:
        """Say by when a loss at this moment must have been reported to a client of this group.

        Time during a lossy disaster does not count, nor time in which pods are late, since one of
        them may be the only one that knows, nor time in which the client itself is cut off.
        """
        left, at = float(REPORT_MS), moment_ms
        for start, end in self._disturbed(group):
            if end <= at:
                continue
            if start - at >= left:
                break
            left -= max(0.0, start - at)
            at = end
        return at + left

    def caught_up(self, moment_ms: float) -> float:
        """Say by when every pod should have read what was logged at this moment."""
        at = moment_ms
        late = [one for one in self.strikes if one.is_lossy or one.delays]
        for start, end in ((one.start_ms, one.ends() + TAKE_OVER_MS) for one in late):
            if start <= at + LAG_MS and end > at:
                at = end
        return at + LAG_MS

    def may_lose(self, start_ms: float, end_ms: float) -> bool:
        """Tell whether a lossy disaster, or its aftermath, touches this stretch of time."""
        return any(
            one.start_ms <= end_ms and self.deadline(one.ends()) >= start_ms
            for one in self.strikes
            if one.is_lossy
        )

    def _disturbed(self, group: str | None) -> list[tuple[float, float]]:
        return [
            (one.start_ms, one.ends())
            for one in self.strikes
            if (one.is_lossy or one.delays if one.group is None else one.group == group)
        ]
