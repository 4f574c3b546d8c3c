"""What is known of who may be in a chat: the API's answers, for as long as they count. Pure.

Two rules decide what counts:

- Questions, arrivals and ends of memberships take numbers from one counter. An answer counts for a
  user and a chat only where it was asked for after the last end that concerns them.
- A yes counts for everybody whom the answer names. A no counts for those alone who were asked
  about: of anybody else it may be older than the membership.
"""

from __future__ import annotations

import itertools
import sys
from collections import OrderedDict
from dataclasses import dataclass

from constellation_ws.access.answers import ApiAnswer
from constellation_ws.messages.events import ChatId, UserId

YES_SECONDS = 10.0
"""How long a yes is retained: a page that is reloaded, or a pod that is drained, asks once.

A membership that ends by an event is forgotten at once, so this bounds only what nobody reports.
"""
NO_SECONDS = 1.0
"""How long a no is: a user who is admitted a moment later should not notice."""
MAX_YES_BYTES = 32 * 1024 * 1024
"""What the retained answers may take; the oldest goes first."""
MAX_NOS = 20_000
MAX_ENDS = 50_000
"""Ends of memberships that are retained; above it all answers are forgotten instead."""
ENDS_SECONDS = 300.0
"""How long an end, or an expired no, is retained: longer than an answer that is older can count."""
_FACT_BYTES = 600
_ID_BYTES = 64

_Key = tuple[UserId | None, ChatId | None]
"""What an answer is about: a user in a chat, a chat (whoever it is), or a user (whatever chat)."""


@dataclass(frozen=True, slots=True)
class AccessVerdict:
    """Whether a user may be in a chat."""

    allowed: bool
    number: int
    """That of the question. What has ended since, it does not know."""


@dataclass(frozen=True, slots=True)
class _Fact:
    number: int
    until: float
    ids: frozenset[str] | None
    """The users of a chat, or the chats of a user; None where it is about one of each."""
    size: int

    def names(self, key: _Key, user: UserId, chat: ChatId) -> bool:
        return self.ids is None or (chat if key[1] is None else user) in self.ids


class Known:
    """The memory of one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        # Ordered: the oldest of a plain dict is found past the gaps of all that were removed.
        self._yes: OrderedDict[_Key, _Fact] = OrderedDict()
        """Oldest first."""
        self._yes_bytes = 0
        self._nos: OrderedDict[tuple[UserId, ChatId], tuple[int, float]] = OrderedDict()
        """Numbers, and until when they count; oldest first. They stay for longer: what was asked
        for before them, and answered later, must not count when they do not any more."""
        self._ends: OrderedDict[tuple[ChatId, UserId | None], tuple[int, float]] = OrderedDict()
        """Numbers, and when it was; oldest first. None is every user."""
        self._all_ended = 0

    def number(self) -> int:
        """Give the next number, for a question that begins or for somebody who has arrived."""
        return next(self._numbers)

    def recall(self, user: UserId, chat: ChatId, now: float) -> AccessVerdict | None:
        """Say what was answered last about a user and a chat; None where nothing counts."""
        number, until = self._nos.get((user, chat), (0, 0.0))
        is_known, allowed = now < until, False
        for key in _keys(user, chat):
            fact = self._yes.get(key)
            if fact and fact.number > number and now < fact.until and fact.names(key, user, chat):
                number, is_known, allowed = fact.number, True, True
        if is_known and self.counts(user, chat, number):
            return AccessVerdict(allowed, number)
        return None

    def counts(self, user: UserId, chat: ChatId, number: int) -> bool:
        """Say whether no membership has ended since that a question of this number was about."""
        if number <= self._all_ended:
            return False
        ends = (self._ends.get((chat, one)) for one in (user, None))
        return all(end is None or end[0] < number for end in ends)

    def learn(self, user: UserId, chat: ChatId, answer: ApiAnswer, number: int, now: float) -> None:
        """Retain the answer to a question about a user and a chat."""
        if not answer.allowed:
            self._contradict(user, chat, number)
            self._nos.pop((user, chat), None)
            self._nos[user, chat] = (number, now + NO_SECONDS)
        if answer.users is not None:
            self._retain((None, chat), answer.users, number, now)
        elif answer.chats is not None:
            self._retain((user, None), answer.chats, number, now)
        elif answer.allowed:
            self._retain((user, chat), None, number, now)
        self._prune(now)

    def end(self, chat: ChatId, user: UserId | None, now: float) -> None:
        """Note that a membership has ended: of one user, or, for None, of everybody."""
        self._ends.pop((chat, user), None)
        self._ends[chat, user] = (self.number(), now)
        if len(self._ends) > MAX_ENDS:
            self._ends.clear()
            self._all_ended = self.number()
        self._prune(now)

    def _contradict(self, user: UserId, chat: ChatId, number: int) -> None:
        """Drop an older yes: it must not count again once the no has expired."""
        for key in _keys(user, chat):
            fact = self._yes.get(key)
            if fact and fact.number < number and fact.names(key, user, chat):
                self._drop(key)

    def _retain(self, key: _Key, ids: frozenset[str] | None, number: int, now: float) -> None:
        former = self._yes.get(key)
        if former is not None:
            if former.number > number:
                return  # asked for later, answered earlier
            self._drop(key)
        size = _FACT_BYTES
        if ids:
            size += sum(map(sys.getsizeof, ids)) + _ID_BYTES * len(ids)
        self._yes[key] = _Fact(number, now + YES_SECONDS, ids, size)
        self._yes_bytes += size

    def _drop(self, key: _Key) -> None:
        self._yes_bytes -= self._yes.pop(key).size

    def _prune(self, now: float) -> None:
        """Drop what has expired, and the oldest above the bounds. Each entry is dropped once."""
        while self._yes:
            key, fact = next(iter(self._yes.items()))
            if now < fact.until and self._yes_bytes <= MAX_YES_BYTES:
                break
            self._drop(key)
        while self._nos:
            pair, (_, until) = next(iter(self._nos.items()))
            if now < until + ENDS_SECONDS and len(self._nos) <= MAX_NOS:
                break
            del self._nos[pair]
        while self._ends:
            end, (_, at) = next(iter(self._ends.items()))
            if now < at + ENDS_SECONDS:
                break
            del self._ends[end]


def _keys(user: UserId, chat: ChatId) -> tuple[_Key, ...]:
    return (user, chat), (None, chat), (user, None)
