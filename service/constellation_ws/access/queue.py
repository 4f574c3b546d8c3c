"""Joins and resumes that wait until the API can be asked about them: whose turn it is, how long.

Nothing here waits by itself. Times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from constellation_ws.access.known import Verdict
from constellation_ws.messages.events import ChatId, UserId

MAX_WAITING = 10_000
"""Checks of a kind that may wait; more are refused at once."""
MAX_WAIT_SECONDS = 30.0
"""How long a check may wait until its last call begins. A slow API must not cost a session, but a
client that has not connected within CONSTELLATION_CONNECT_TIMEOUT_SECONDS (45) is closed."""


class Kind(StrEnum):
    """What a check is for. Neither kind waits for the other: they take turns."""

    JOIN = "join"
    RESUME = "resume"


class Check:
    """What one user's join or resume needs to know: in which of some chats the user may be."""

    __slots__ = (
        "asked", "asks_each", "done", "is_queued", "kind", "number", "since", "todo", "user",
        "verdicts",
    )  # fmt: skip

    def __init__(self, user: UserId, kind: Kind, number: int, since: float) -> None:
        self.user = user
        self.kind = kind
        self.number = number
        """What was asked before that may be older than what the check is about."""
        self.since = since
        self.todo: deque[ChatId] = deque()
        """Chats that no call is about yet."""
        self.asked = 0
        """Chats that a call is about."""
        self.verdicts: dict[ChatId, Verdict] = {}
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
    """The checks that have chats which no call is about yet."""

    def __init__(self, on_refused: Callable[[Check], None]) -> None:
        self._on_refused = on_refused
        self._waiting: dict[Kind, deque[Check]] = {kind: deque() for kind in Kind}
        """The longest waiting first."""
        self._last = Kind.RESUME

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, check: Check) -> None:
        """Put a check at the end; refuse it where too many wait."""
        if len(self._waiting[check.kind]) >= MAX_WAITING:
            self._refuse(check)
            return
        check.is_queued = True
        self._waiting[check.kind].append(check)

    def put_back(self, check: Check) -> None:
        """Let a check be next that has chats to ask about after all; harmless where it waits."""
        if not check.is_queued:
            check.is_queued = True
            self._waiting[check.kind].appendleft(check)

    def next(self, now: float) -> Check | None:
        """Give the check whose turn it is, and refuse those that have waited for too long."""
        for waiting in self._waiting.values():
            while waiting and self._is_over(waiting[0], now):
                self._refuse(waiting.popleft())
        joins, resumes = self._waiting[Kind.JOIN], self._waiting[Kind.RESUME]
        first, second = (resumes, joins) if self._last is Kind.JOIN else (joins, resumes)
        waiting = first or second
        return waiting[0] if waiting else None

    def step(self, check: Check) -> None:
        """Note that the first chat of the check that was given last is answered or asked about."""
        check.todo.popleft()
        self._last = check.kind
        if not check.todo:
            self._waiting[check.kind].popleft()
            check.is_queued = False
            check.finish()

    def refuse_until(self, since: float) -> None:
        """Refuse those that have waited since a moment, or for longer."""
        for waiting in self._waiting.values():
            while waiting and waiting[0].since <= since:
                self._refuse(waiting.popleft())

    def refuse_all(self) -> None:
        """Refuse whoever waits."""
        self.refuse_until(float("inf"))

    def _is_over(self, check: Check, now: float) -> bool:
        return check.done.done() or now - check.since >= MAX_WAIT_SECONDS

    def _refuse(self, check: Check) -> None:
        check.is_queued = False
        if not check.done.done():
            self._on_refused(check)
            check.fail()
