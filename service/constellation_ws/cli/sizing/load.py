"""What a deployment is to carry, and the limits of its settings: checked when they are made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_UNIT = "s|sec|second|m|min|minute|h|hour"
_RATE = re.compile(rf"([0-9]+(?:\.[0-9]+)?(?:e[0-9]{{1,2}})?)(?:/({_UNIT}))?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
MOST_EVENTS = 10_000_000
"""A second. More is a slip of the finger."""


class InvalidLoad(ValueError):
    """No deployment can be asked for this; `str()` is a sentence."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the settings of the pods allow."""

    log_max_entries: int
    max_connections: int
    """Of one pod."""
    max_connects_per_second: int
    """Of one pod."""
    max_event_bytes: int

    def check(self, load: Load) -> None:
        """Raise InvalidLoad for events that the pods would drop."""
        if load.event_bytes > self.max_event_bytes:
            raise InvalidLoad(
                f"Events of {load.event_bytes:,} bytes are dropped: "
                f"CONSTELLATION_MAX_EVENT_BYTES is {self.max_event_bytes:,}."
            )


@dataclass(frozen=True, slots=True)
class Log:
    """Who receives events from Pub/Sub and who appends them, by the settings of the pods."""

    listeners: int = 3
    """`CONSTELLATION_LOG_LISTENERS`."""
    partitions: int = 1
    """`CONSTELLATION_LOG_PARTITIONS`."""
    is_packed: bool = True
    """Whether events that are appended together are one entry: `CONSTELLATION_LOG_PACKING`."""

    def listening(self, pods: int) -> int:
        """Count the listeners among so many pods: with several partitions all are."""
        return pods if self.partitions > 1 else min(pods, self.listeners)

    def recorded_share(self, pods: int) -> float:
        """Give the share of the log that the busiest of its recorders appends."""
        return math.ceil(self.partitions / pods) / self.partitions


DEFAULT_LOG = Log()


@dataclass(frozen=True, slots=True)
class Load:
    """What happens all the time. Raises InvalidLoad."""

    users: int
    """Clients that are connected at the same time."""
    events_per_second: float
    recipients: float
    """Connected clients that an event is for, on average."""
    event_bytes: int
    window_seconds: float
    """For which the log has events."""

    def __post_init__(self) -> None:
        if self.users < 1:
            raise InvalidLoad(f"The number of users is {self.users:,}; it must be 1 or more.")
        if not 0 <= self.events_per_second <= MOST_EVENTS:
            raise InvalidLoad(f"The events per second must be from 0 to {MOST_EVENTS:,}.")
        if not math.isfinite(self.recipients) or self.recipients < 0:
            raise InvalidLoad("The recipients of an event must be a number that is not negative.")
        if self.recipients > self.users:
            raise InvalidLoad(
                f"An event cannot have {self.recipients:,g} recipients: "
                f"the number of connected users is {self.users:,}."
            )
        if self.event_bytes < 1:
            raise InvalidLoad(f"An event of {self.event_bytes:,} bytes is not possible.")
        if not 0 < self.window_seconds < math.inf:
            raise InvalidLoad("The window must be a number of seconds above 0.")


def read_rate(text: str) -> float:
    """Return events per second: `500/s`, `30000/min`, `1e6/h`, or a number. Raises InvalidLoad."""
    found = _RATE.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidLoad(
            f"'{text}' is not a rate: write 500/s, 30000/min, 1e6/h, or 500 for 500 per second."
        )
    return float(found[1]) / _SECONDS[(found[2] or "s")[0]]
