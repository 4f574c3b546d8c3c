"""When a backend gets requests, and when it is left alone. Pure: time is an argument.

A breaker cuts off a backend that does not answer at all, so that clients get their refusal at once
instead of after the timeout. One that answers some requests is not cut off: that would cost those
that succeed.

| state     | what happens                      | then                                            |
| --------- | --------------------------------- | ----------------------------------------------- |
| closed    | a request                         | admitted                                        |
| closed    | a success                         | no failures are counted                         |
| closed    | a failure, fewer than 5 in a row  | it is counted                                   |
| closed    | the fifth failure in a row        | open for 1 s                                    |
| closed    | a failure by the same event as the last one, such as a lost connection | not counted |
| open      | a request before the pause ends   | refused                                         |
| open      | a request after the pause         | admitted as the probe: half-open                |
| half-open | a request                         | refused                                         |
| half-open | the probe succeeds                | closed                                          |
| half-open | the probe fails                   | open, twice as long as before, for 30 s at most |
| any       | how a request ended that was admitted before the last change of state | nothing     |
"""

from __future__ import annotations

from enum import StrEnum

MAX_FAILURES = 5
LEAST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 30.0


class State(StrEnum):
    """Whether requests are admitted: all, one, or none."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """The breaker of one backend. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.pause_seconds = 0.0
        """How long the last pause was meant to take."""
        self._failures = 0
        self._pause_ends_at = 0.0
        self._changes = 0
        self._last_event: object = None

    def admit(self, now: float) -> int | None:
        """Admit a request or refuse it (None); what is given names it when it has ended."""
        if self.state is State.OPEN and now >= self._pause_ends_at:
            self._enter(State.HALF_OPEN)
            return self._changes
        return self._changes if self.state is State.CLOSED else None

    def succeeded(self, admission: int) -> None:
        """Note that the backend has answered a request that was admitted."""
        if admission != self._changes:
            return
        self._failures = 0
        if self.state is State.HALF_OPEN:
            self.pause_seconds = 0.0
            self._enter(State.CLOSED)

    def failed(self, admission: int, now: float, event: object) -> None:
        """Note that the backend has not answered a request that was admitted.

        `event` is what several requests may have failed of together.
        """
        if admission != self._changes:
            return
        if self.state is State.CLOSED and event is self._last_event:
            return
        self._last_event = event
        self._failures += 1
        if self.state is State.HALF_OPEN or self._failures >= MAX_FAILURES:
            doubled = max(LEAST_PAUSE_SECONDS, 2 * self.pause_seconds)
            self.pause_seconds = min(doubled, MOST_PAUSE_SECONDS)
            self._pause_ends_at = now + self.pause_seconds
            self._failures = 0
            self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._changes += 1
