"""When keys are fetched again, and what a fetch has settled. Pure.

Time and chance are given, fetching is the caller's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

MAX_DOUBTS = 10_000
"""At 150 bytes each. A token that is forgotten is not judged at once, and its client retries."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the keys' endpoint is asked."""

    interval_seconds: float = 300
    """Between two fetches that succeed: how long a withdrawn key may still count."""
    first_retry_seconds: float = 1
    longest_retry_seconds: float = 30
    cooldown_seconds: float = 10
    """Between two fetches that a token has asked for: anybody can send one that is not genuine."""


USUAL_PACE = Pace()


class Refetching:
    """The state of one endpoint: when it was asked, and how that went."""

    def __init__(self, pace: Pace, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 up to 1."""
        self._pace = pace
        self._chance = chance
        self._failures = 0
        self._asked_at: float | None = None
        self.due_at = 0.0
        """Monotonic time of the next fetch."""

    @property
    def has_failed(self) -> bool:
        """Whether the last fetch brought nothing."""
        return self._failures > 0

    def fetched(self, *, succeeded: bool, now_seconds: float) -> None:
        """Note how a fetch ended, and plan the next one."""
        pace = self._pace
        if succeeded:
            self._failures = 0
            delay = pace.interval_seconds
        else:
            delay = min(pace.first_retry_seconds * 2**self._failures, pace.longest_retry_seconds)
            self._failures = min(self._failures + 1, 30)
        # Pods that start together do not ask together for ever.
        self.due_at = now_seconds + delay * (1 - 0.2 * self._chance())

    def ask(self, now_seconds: float) -> bool:
        """Ask for a fetch out of turn; False when there was one so lately that none is due."""
        asked_at = self._asked_at
        if asked_at is not None and now_seconds - asked_at < self._pace.cooldown_seconds:
            return False
        self._asked_at = self.due_at = now_seconds
        return True


class Doubts:
    """What tokens have presented that the keys at hand do not explain, and since when.

    A key is published before it signs. So what was presented before a fetch began, and is not
    explained by what that fetch brought, is not genuine. What was presented later may be.
    """

    def __init__(self) -> None:
        self._since: OrderedDict[int, float] = OrderedDict()

    def since(self, what: Hashable, now_seconds: float) -> float:
        """Say when something was presented first; if never before, it is now."""
        since = self._since.setdefault(hash(what), now_seconds)
        if len(self._since) > MAX_DOUBTS:
            self._since.popitem(last=False)
        return since
