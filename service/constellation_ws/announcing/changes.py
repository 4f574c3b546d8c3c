"""What this pod has still to write to the record of who was announced. Decisions only.

`record` knows how it is written, `announcer` when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from constellation_ws.messages.events import UserId

CONNECTED = "connected"
RESTORED = "restored"
"""The reason for a user who is announced as online again, because the record was lost."""
SETTLED_SECONDS = 30.0
"""What was announced so long ago was read, and is not lost if Redis goes back: some pod finds that
out sooner. Without it each failover to a replica that lags would announce everybody again."""


class Kind(Enum):
    """What happened, as the script reads it."""

    ARRIVED = "+"
    STAYED = "="
    """Is still here, and was announced long ago: only a record without the user is lost."""
    LEFT = "-"
    LEFT_UNRECORDED = "!"
    """Left, and was announced in a record that was lost: offline is announced without one."""


_HERE = (Kind.ARRIVED, Kind.STAYED)


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """Why a user arrived or left. Which one it is says whether a newer change replaced it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of what is written next."""

    user: UserId
    kind: Kind
    cause: Cause


class Changes:
    """The users of this pod, and in what the record differs from that as far as is known."""

    def __init__(self) -> None:
        self._here: set[UserId] = set()
        self._recorded: set[UserId] = set()
        """In this pod's share of the record, or perhaps: their arrival has been sent."""
        self._orphans: set[UserId] = set()
        """Announced as online in a record that was lost, and not written since."""
        self._coming: dict[UserId, Cause] = {}
        self._going: dict[UserId, Cause] = {}
        self._uncertain: set[UserId] = set()
        """Of whom something was sent, and whether it was carried out is not known."""
        self._recent: dict[UserId, float] = {}
        """Users who are not settled since this time, the earliest first."""

    def came(self, user: UserId) -> None:
        """Note that a user is on this pod."""
        self._here.add(user)
        self._going.pop(user, None)
        self._coming[user] = Cause(CONNECTED)

    def went(self, user: UserId, reason: str) -> None:
        """Note that a user is not on this pod any more; one who was never written stays unknown."""
        self._here.discard(user)
        self._coming.pop(user, None)
        if user in self._recorded or user in self._orphans:
            self._going[user] = Cause(reason)

    @property
    def unwritten(self) -> int:
        """How many changes are not written yet."""
        return len(self._coming) + len(self._going)

    @property
    def recorded(self) -> int | None:
        """How many users this pod's share of the record must have; None while that is unknown."""
        return None if self._uncertain else len(self._recorded)

    def take(self, count: int, *, with_leaving: bool) -> list[Change]:
        """Give what is to be written next, as about to be sent; then call `wrote`, or nothing."""
        chunk = [
            Change(one, self._kind_of(one, cause), cause)
            for one, cause in _first(self._coming, count)
        ]
        if with_leaving:
            for user, cause in _first(self._going, count - len(chunk)):
                kind = Kind.LEFT_UNRECORDED if user in self._orphans else Kind.LEFT
                chunk.append(Change(user, kind, cause))
        self._recorded.update(one.user for one in chunk if one.kind in _HERE)
        self._uncertain.update(one.user for one in chunk)
        return chunk

    def wrote(self, chunk: Sequence[Change], now: float) -> None:
        """Note that a chunk was written. What changed meanwhile is written next."""
        for change in chunk:
            user, has_come = change.user, change.kind in _HERE
            pending = self._coming if has_come else self._going
            if pending.get(user) is change.cause:
                del pending[user]
            self._orphans.discard(user)
            self._uncertain.discard(user)
            if not has_come:
                self._recorded.discard(user)
            if change.kind is not Kind.STAYED:
                self._recent.pop(user, None)
            if change.kind is Kind.ARRIVED:
                self._recent[user] = now
        self._settle(now)

    def unsettle(self, now: float) -> None:
        """Note that others may have announced users of this pod as offline."""
        self._recent = dict.fromkeys(self._here, now)

    def start_over(self, *, is_lost: bool) -> None:
        """Write everybody who is here again, into a new share.

        Who has left is announced by the pod that removes the old share, unless that `is_lost`.
        """
        if is_lost:
            self._orphans |= self._recorded
        else:
            self._going.clear()
        self._recorded.clear()
        self._uncertain.clear()
        self._coming = {**dict.fromkeys(self._here, Cause(RESTORED)), **self._coming}

    def _kind_of(self, user: UserId, cause: Cause) -> Kind:
        has_stayed = cause.reason == RESTORED and user not in self._recent
        return Kind.STAYED if has_stayed else Kind.ARRIVED

    def _settle(self, now: float) -> None:
        while self._recent:
            user, since = next(iter(self._recent.items()))
            if since > now - SETTLED_SECONDS:
                break
            del self._recent[user]


def _first(pending: dict[UserId, Cause], count: int) -> list[tuple[UserId, Cause]]:
    return list(islice(pending.items(), count))
