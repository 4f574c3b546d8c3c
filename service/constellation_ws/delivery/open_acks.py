"""Which events clients of this pod may acknowledge now, and who has. Pure: time is an argument.

Every pod notes each such event of the cluster, whether or not it has a recipient: a session may
move here, or be resumed here, and acknowledge what another pod has sent it.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from constellation_ws.delivery.effects import Asked
from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.commands import AckRequest

MAX_OPEN = 10_000
"""Events that wait for acks in the whole cluster; further ones are delivered and not answered."""


class AckOutcome(Enum):
    """Why an ack is not reported."""

    UNKNOWN = "unknown"
    """It comes too late, or was never requested of this client."""
    DUPLICATE = "duplicate"


class _Open:
    """An event, and who has acknowledged it here."""

    __slots__ = ("acked", "request", "rooms", "until")

    def __init__(self, asked: Asked, until: float) -> None:
        self.request = asked.request
        self.rooms = asked.rooms
        self.until = until
        self.acked: set[str] = set()


class OpenAcks:
    """The events that wait for acks, by their ack ids."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, asked: Asked, now: float) -> bool:
        """Accept acks of an event from now on; False where there are too many such events."""
        while self._open and next(iter(self._open.values())).until <= now:
            self._open.popitem(last=False)
        if len(self._open) >= MAX_OPEN:
            return False
        self._open[asked.request.id] = _Open(asked, now + asked.request.timeout_ms / 1_000)
        return True

    def take(self, member: Member, ack_id: int, now: float) -> AckRequest | AckOutcome:
        """Note an ack; return to whom to report it, or why not."""
        found = self._open.get(ack_id)
        if found is None or found.until <= now or found.rooms.isdisjoint(member.rooms):
            return AckOutcome.UNKNOWN
        if member.own_room in found.acked:
            return AckOutcome.DUPLICATE
        found.acked.add(member.own_room)
        return found.request
