"""What should have reached a client, what did, and the difference.

Pure. The log is the truth: its order, and who each entry is for. A client that was told that it
could not be recovered begins a new account; within an account nothing may be missing, doubled or
out of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

SETTLING_MS = 1_500
"""How long after a connect, or a join's answer, an event may be logged that it need not get yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event in the log."""

    number: int
    logged_ms: int
    users: frozenset[str]
    rooms: frozenset[str]


@dataclass(slots=True)
class Account:
    """What a client got between two moments at which it was told that it starts anew."""

    opened_ms: int
    joined_ms: dict[str, int] = field(default_factory=dict)
    received: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Story:
    """All that a client went through."""

    name: str
    kind: str
    user: str
    rooms: frozenset[str]
    """Those that it joins as soon as it can."""
    entries: Sequence[Any]
    """As `tests/js/crowd.mjs` writes them."""
    extra_arguments: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a client's accounts; numbers of events."""

    name: str
    kind: str
    deliveries: int
    missing: list[int]
    doubled: list[int]
    disordered: list[int]
    unexpected: list[int]
    told_ms: list[int]
    """When it was told, after its first connect, that it was not recovered."""
    recovered: int
    away_ms: list[int]
    extra_arguments: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        faults = (self.missing, self.doubled, self.disordered, self.unexpected)
        return not any(faults) and not self.extra_arguments


class Log:
    """The truth, with an index."""

    def __init__(self, entries: Sequence[Sent]) -> None:
        self.entries = entries
        self.place: dict[int, int] = {}
        for at, entry in enumerate(entries):
            self.place.setdefault(entry.number, at)

    def since(self, moment_ms: int) -> int:
        """Give the place of the first entry logged at this moment or later."""
        late = (at for at, one in enumerate(self.entries) if one.logged_ms >= moment_ms)
        return next(late, len(self.entries))


def judge(log: Log, story: Story) -> Verdict:
    """Compare a client's accounts with the log."""
    accounts, told, recovered, away = _read(story.entries)
    missing: list[int] = []
    doubled: list[int] = []
    disordered: list[int] = []
    unexpected: list[int] = []
    for account in accounts:
        seen: set[int] = set()
        furthest = -1
        for number in account.received:
            place = log.place.get(number)
            if number in seen:
                doubled.append(number)
                continue
            seen.add(number)
            if place is None or not _is_for(log.entries[place], story):
                unexpected.append(number)
                continue
            if place < furthest:
                disordered.append(number)
            furthest = max(furthest, place)
        end = len(log.entries) if account is accounts[-1] else furthest + 1
        missing += _missing(log, story.user, account, seen, end)
    received = sum(len(account.received) for account in accounts)
    return Verdict(
        story.name, story.kind, received, missing, doubled, disordered, unexpected,
        told, recovered, away, story.extra_arguments,
    )  # fmt: skip


def _read(entries: Iterable[Any]) -> tuple[list[Account], list[int], int, list[int]]:
    """Split a story into accounts; give them, when new ones began, recoveries, times away."""
    # What is replayed comes before the answer that says that it was: kept until that is known.
    accounts: list[Account] = []
    told: list[int] = []
    away: list[int] = []
    recovered, lost_ms = 0, 0
    early: list[int] = []
    is_connected = False
    for entry in entries:
        match entry:
            case int():
                (accounts[-1].received if is_connected else early).append(entry)
            case ["connect", int(at_ms), bool(is_recovered)]:
                is_connected = True
                if accounts and is_recovered:
                    recovered += 1
                else:
                    if accounts:
                        told.append(at_ms)
                    accounts.append(Account(at_ms))
                if lost_ms:
                    away.append(at_ms - lost_ms)
                accounts[-1].received += early
                early = []
            case ["joined", int(at_ms), str(room)]:
                accounts[-1].joined_ms.setdefault(room, at_ms)
            case ["lost", int(at_ms), _]:
                is_connected, lost_ms = False, at_ms
    return accounts, told, recovered, away


def _is_for(sent: Sent, story: Story) -> bool:
    # Whether joined yet or not: a room's first events may come before the join's answer.
    return story.user in sent.users or not sent.rooms.isdisjoint(story.rooms)


def _missing(log: Log, user: str, account: Account, seen: set[int], end: int) -> list[int]:
    """Give what is for this account from its beginnings to `end` and has not come."""
    begins = _begin(log, account.opened_ms, [n for n in seen if _is_to_user(log, n, user)])
    room_begins = {
        room: _begin(log, joined, [n for n in seen if _is_to_room_only(log, n, user, room)])
        for room, joined in account.joined_ms.items()
    }
    first = min([begins, *room_begins.values()])
    missing = []
    for place in range(first, end):
        sent = log.entries[place]
        to_user = user in sent.users and place >= begins
        to_room = any(place >= room_begins.get(room, end) for room in sent.rooms)
        if (to_user or to_room) and sent.number not in seen:
            missing.append(sent.number)
    return missing


def _begin(log: Log, moment_ms: int, seen: Iterable[int]) -> int:
    """Find where a duty to deliver begins: at the first delivery, or a while after the promise."""
    return min([log.since(moment_ms + SETTLING_MS), *(log.place[n] for n in seen)])


def _is_to_user(log: Log, number: int, user: str) -> bool:
    place = log.place.get(number)
    return place is not None and user in log.entries[place].users


def _is_to_room_only(log: Log, number: int, user: str, room: str) -> bool:
    place = log.place.get(number)
    return (
        place is not None
        and room in log.entries[place].rooms
        and user not in log.entries[place].users
    )
