"""Joins and resumes that wait for the API: which is next, and how long one may wait.

Nothing here waits by itself. Times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from constellation_ws.access.known import AccessVerdict
from constellation_ws.messages.events import ChatId, UserId

MAX_WAITING = 10_000
"""Queries of a kind that may wait; more are refused at once."""
MAX_WAIT_SECONDS = 30.0
"""How long a query may wait until its last call begins. A slow API must not cost a session, but a
client that has not connected within CONSTELLATION_CONNECT_TIMEOUT_SECONDS (45) is closed."""


class Kind(StrEnum):
    """What a query is for. Neither kind waits for the other: they alternate."""

    JOIN = "join"
    RESUME = "resume"


class AccessQuery:
    """What one user's join or resume needs to know: in which of some chats the user may be."""

    __slots__ = (
        "asked", "asks_each", "done", "is_queued", "kind", "number", "since", "todo", "user",
        "verdicts",
    )  # fmt: skip

    def __init__(self, user: UserId, kind: Kind, number: int, since: float) -> None:
        self.user = user
        self.kind = kind
        self.number = number
        """What was asked before that may be older than what the query is about."""
        self.since = since
        self.todo: deque[ChatId] = deque()
        """Chats that no call is about yet."""
        self.asked = 0
        """Chats that a call is about."""
        self.verdicts: dict[ChatId, AccessVerdict] = {}
        self.is_queued = False
        self.asks_each = False
        """Whether an answer about one chat has been seen to say nothing of another."""
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether there is a verdict on each chat."""

    def fail(self) -> None:
        """Be done without an answer."""
        if not self.done.done():
            self.done.set_result(False)

    def finish(self) -> None:
        """Be done where each chat is answered."""
        if not (self.todo or self.asked or self.done.done()):
            self.done.set_result(True)


class Queue:
    """The queries that have chats which no call is about yet."""

    def __init__(self, on_refused: Callable[[AccessQuery], None]) -> None:
        self._on_refused = on_refused
        self._waiting: dict[Kind, deque[AccessQuery]] = {kind: deque() for kind in Kind}
        """The longest waiting first."""
        self._last = Kind.RESUME

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, query: AccessQuery) -> None:
        """Put a query at the end; refuse it where too many wait."""
        if len(self._waiting[query.kind]) >= MAX_WAITING:
            self._refuse(query)
            return
        query.is_queued = True
        self._waiting[query.kind].append(query)

    def put_back(self, query: AccessQuery) -> None:
        """Let a query be next that has chats to ask about after all; harmless where it waits."""
        if not query.is_queued:
            query.is_queued = True
            self._waiting[query.kind].appendleft(query)

    def next(self, now: float) -> AccessQuery | None:
        """Return the next query, and refuse those that have waited for too long."""
        for waiting in self._waiting.values():
            while waiting and self._is_over(waiting[0], now):
                self._refuse(waiting.popleft())
        joins, resumes = self._waiting[Kind.JOIN], self._waiting[Kind.RESUME]
        first, second = (resumes, joins) if self._last is Kind.JOIN else (joins, resumes)
        waiting = first or second
        return waiting[0] if waiting else None

    def step(self, query: AccessQuery) -> None:
        """Note that the first chat of the query that was given last is answered or asked about."""
        query.todo.popleft()
        self._last = query.kind
        if not query.todo:
            self._waiting[query.kind].popleft()
            query.is_queued = False
            query.finish()

    def refuse_until(self, since: float) -> None:
        """Refuse those that have waited since a moment, or for longer."""
        for waiting in self._waiting.values():
            while waiting and waiting[0].since <= since:
                self._refuse(waiting.popleft())

    def refuse_all(self) -> None:
        """Refuse all that wait."""
        self.refuse_until(float("inf"))

    def _is_over(self, query: AccessQuery, now: float) -> bool:
        return query.done.done() or now - query.since >= MAX_WAIT_SECONDS

    def _refuse(self, query: AccessQuery) -> None:
        query.is_queued = False
        if not query.done.done():
            self._on_refused(query)
            query.fail()
