"""The truth of a run: what publishers sent, and what they were answered.

Pure. The log in Redis is no part of it: a judge that trusted the log could not see what it lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Way(Enum):
    """How an event is handed over."""

    PUBLISH = "PUBLISH"
    XADD = "XADD"
    TCP = "TCP"

    @property
    def order(self) -> str:
        """Name the sequence that this way shares: TCP appends to the log as XADD does."""
        return "bus" if self is Way.PUBLISH else "log"


class Outcome(Enum):
    """What the publisher knows."""

    UNDER_WAY = "under way"
    ACCEPTED = "accepted"
    """An ID from XADD, `accepted` from TCP, more than 0 receivers from PUBLISH."""
    REFUSED = "refused"
    """An error that says that it was not executed. The publisher sends the same event again."""
    UNKNOWN = "unknown"
    """No answer, or one that leaves it open: the event may arrive or not. Never sent again."""


@dataclass(slots=True)
class Event:
    """One event, as its publisher sees it."""

    number: int
    way: Way
    users: frozenset[str]
    rooms: frozenset[str]
    lane: str = ""
    """The connection that carried it. Redis executes a connection's commands in order."""
    place: int = 0
    """Among all that was sent in the run; within a lane, the order of execution."""
    sent_ms: int = 0
    """Of the last attempt."""
    settled_ms: int = 0
    """When the outcome was known."""
    outcome: Outcome = Outcome.UNDER_WAY
    answer: str = ""
    """What the publisher was answered, for people."""
    sequence: str = ""
    """The room by which the event goes, where the log has partitions: only the events of one room
    come in their order. Empty where all do."""

    @property
    def is_accepted(self) -> bool:
        return self.outcome is Outcome.ACCEPTED

    @property
    def order(self) -> tuple[str, str]:
        """Name the events that come in the order in which they were accepted.

        Where the log has partitions, a producer's XADD need not go to the one to which a pod
        appends what it gets over TCP.
        """
        return (self.way.value if self.sequence else self.way.order, self.sequence)


class Ledger:
    """All events of a run, by number and by address."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: dict[int, Event] = {}
        self._by_user: defaultdict[str, list[Event]] = defaultdict(list)
        self._by_room: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            self.enter(event)

    def enter(self, event: Event) -> None:
        """Add an event before it is sent."""
        self.events[event.number] = event
        for user in event.users:
            self._by_user[user].append(event)
        for room in event.rooms:
            self._by_room[room].append(event)

    def to_user(self, user: str) -> list[Event]:
        """Give what is addressed to a user."""
        return self._by_user.get(user, [])

    def to_room(self, room: str) -> list[Event]:
        """Give what is addressed to a room."""
        return self._by_room.get(room, [])

    def doubt(self, cuts: Iterable[tuple[float, float]]) -> None:
        """Take back what PUBLISH promised while the links that it counted were being cut.

        Redis counts a receiver when it has put the message into its buffer; a link that is killed
        in the same moment takes it along, and no gateway can know.
        """
        for start_ms, end_ms in cuts:
            for event in self.events.values():
                is_cut = event.sent_ms <= end_ms and event.settled_ms >= start_ms
                if event.way is Way.PUBLISH and event.is_accepted and is_cut:
                    event.outcome = Outcome.UNKNOWN

    def accepted(self) -> list[Event]:
        """Give what was acknowledged."""
        return [event for event in self.events.values() if event.is_accepted]
