"""Who is asked about, when, and how long that may take: the queue in front of the API.

A query is what one join or one resume needs to know: a user and some chats. It waits until a call
is free, and is done when each chat is answered: by the API, from memory, or by a call that somebody
else's query has begun. The time of an answer counts from its call, and is the API's part (`http`,
`nest`); waiting for a call has a bound of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog

from constellation_ws.access.answers import ApiAnswer, NoAnswer
from constellation_ws.access.known import AccessVerdict, Known
from constellation_ws.access.limit import CallLimit
from constellation_ws.access.queue import AccessQuery, Kind, Queue
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.runtime.spawning import Spawn

logger = structlog.get_logger(__name__)

_SILENT_TIMEOUTS = 3
"""After so many timeouts in which nothing was answered, waiting is in vain: an API that is away
fails everybody. A shorter silence costs only those whose calls it meets."""
_STEPS = 1_000
"""Chats that are looked up in one turn of the loop, where many are answered from memory."""


class Api(Protocol):
    """Asks who is in a chat."""

    def subject(self, user: UserId, chat: ChatId) -> object:
        """Say what a question is about: those about the same are asked once at a time."""

    async def ask(self, user: UserId, chat: ChatId) -> ApiAnswer:
        """Ask once. Raises NoAnswer, or TimeoutError where none comes in time."""

    async def aclose(self) -> None:
        """Hang up."""


class _Question:
    """One call to the API, and the queries that wait for it."""

    __slots__ = ("chat", "number", "started", "subject", "task", "user", "waiters")

    def __init__(
        self, subject: object, user: UserId, chat: ChatId, number: int, started: float
    ) -> None:
        self.subject = subject
        self.user = user
        self.chat = chat
        self.number = number
        self.started = started
        self.waiters: list[tuple[AccessQuery, ChatId]] = []
        self.task: asyncio.Task[Any] | None = None

    def verdict(self, answer: ApiAnswer, query: AccessQuery, chat: ChatId) -> AccessVerdict | None:
        """Say what its answer means for a query; None where the query must ask for itself."""
        allowed = None
        if answer.users is not None and chat == self.chat:
            allowed = query.user in answer.users
        elif (query.user, chat) == (self.user, self.chat):
            allowed = answer.allowed
        elif answer.chats is not None and query.user == self.user:
            allowed = chat in answer.chats or None
        if allowed is None or (not allowed and self.number < query.number):
            return None  # not said, or a no that may be older than the membership
        return AccessVerdict(allowed, self.number)


class Queries:
    """Asks the API what joins and resumes need to know."""

    def __init__(
        self,
        api: Api,
        known: Known,
        limit: CallLimit,
        metrics: Metrics,
        *,
        spawn: Spawn,
        timeout_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._known = known
        self._limit = limit
        self._metrics = metrics
        self._spawn = spawn
        self._silence_seconds = _SILENT_TIMEOUTS * timeout_seconds
        self._clock = clock
        self._queue = Queue(self._count_refused)
        self._calls: set[_Question] = set()
        self._open: dict[object, _Question] = {}
        """The newest call about each subject."""
        self._silent_since = 0.0
        """When something was answered last while there were calls, or else the first one began."""
        self._will_pump = False
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many joins and resumes wait for a call."""
        return len(self._queue)

    async def run(
        self, user: UserId, chats: Iterable[ChatId], kind: Kind
    ) -> dict[ChatId, AccessVerdict] | None:
        """Find out in which of some chats a user may be; None where that cannot be said."""
        query = AccessQuery(user, kind, self._known.number(), self._clock())
        for chat in chats:
            if not self._place(query, chat):
                query.todo.append(chat)
        if self._is_closed and query.todo:
            query.fail()
        elif query.todo:
            self._queue.add(query)
            self._pump()
        query.finish()
        try:
            await asyncio.wait({query.done})
        finally:
            query.fail()  # whoever is cancelled needs no more calls
        return query.verdicts if query.done.result() else None

    async def aclose(self) -> None:
        """Leave all queries without an answer; later ones get none either."""
        self._is_closed = True
        for question in tuple(self._calls):
            if question.task is not None:
                question.task.cancel()
            self._complete(question, None)
        self._queue.refuse_all()
        await self._api.aclose()

    # Which call is next

    def _place(self, query: AccessQuery, chat: ChatId) -> bool:
        """Answer a chat from memory, or let it share a call; False where it needs one."""
        verdict = self._known.recall(query.user, chat, self._clock())
        if verdict is not None:
            query.verdicts[chat] = verdict
            return True
        question = self._open.get(self._api.subject(query.user, chat))
        if question is None or (query.asks_each and question.chat != chat):
            return False
        if not self._known.counts(query.user, chat, question.number):
            return False
        question.waiters.append((query, chat))
        query.asked += 1
        return True

    def _pump(self) -> None:
        """Begin as many calls as may run, the longest waiting query of each kind in turn."""
        for _ in range(_STEPS):
            query = self._queue.next(self._clock())
            if query is None:
                return
            chat = query.todo[0]
            if not self._place(query, chat):
                if len(self._calls) >= self._limit.calls:
                    return
                self._begin(query, chat)
            self._queue.step(query)
        if not self._will_pump:
            self._will_pump = True
            asyncio.get_running_loop().call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._will_pump = False
        self._pump()

    # One call

    def _begin(self, query: AccessQuery, chat: ChatId) -> None:
        """Ask the API, in a task: whoever leaves meanwhile takes nobody's answer along."""
        subject = self._api.subject(query.user, chat)
        question = _Question(subject, query.user, chat, self._known.number(), self._clock())
        question.waiters.append((query, chat))
        query.asked += 1
        if not self._calls:
            self._silent_since = question.started
        self._calls.add(question)
        self._open[subject] = question
        self._spawn(self._call(question))

    async def _call(self, question: _Question) -> None:
        if self._is_closed:
            return
        question.task, outcome, answer = asyncio.current_task(), "failed", None
        try:
            answer = await self._api.ask(question.user, question.chat)
            outcome = "yes" if answer.allowed else "no"
        except (TimeoutError, NoAnswer) as error:
            outcome = "timeout" if isinstance(error, TimeoutError) else "failed"
            logger.warning("chat access cannot be checked", reason=str(error))
        except Exception:
            logger.exception("chat access check failed")
        finally:
            self._count(outcome, self._clock() - question.started)
            self._note(question, outcome)
            self._complete(question, answer)

    def _note(self, question: _Question, outcome: str) -> None:
        """Learn from how a call went how many may run, and whether waiting makes sense."""
        now = self._clock()
        if outcome == "timeout":
            self._limit.timed_out(question.started, now)
            if now - self._silent_since >= self._silence_seconds:
                self._queue.refuse_until(question.started)
            return
        self._silent_since = now
        if outcome in ("yes", "no"):
            self._limit.answered(question.started, now, others_wait=bool(self._queue))

    def _complete(self, question: _Question, answer: ApiAnswer | None) -> None:
        """Pass an answer on to all who wait for it; None is none."""
        if question not in self._calls:
            return
        self._calls.remove(question)
        if self._open.get(question.subject) is question:
            del self._open[question.subject]
        if answer is not None:
            user, chat, number = question.user, question.chat, question.number
            self._known.learn(user, chat, answer, number, self._clock())
        for query, chat in question.waiters:
            query.asked -= 1
            self._pass_on(question, answer, query, chat)
        if not self._is_closed:
            self._pump()

    def _pass_on(
        self, question: _Question, answer: ApiAnswer | None, query: AccessQuery, chat: ChatId
    ) -> None:
        verdict = None if answer is None else question.verdict(answer, query, chat)
        if verdict is not None:
            query.verdicts[chat] = verdict
            query.finish()
        elif self._is_closed or (answer is None and question.number > query.number):
            query.fail()
        elif not query.done.done():
            # It says nothing of the chat; or its no, or its failure, is of a call that was begun
            # before the query came.
            query.asks_each = query.asks_each or (answer is not None and chat != question.chat)
            query.todo.append(chat)
            self._queue.put_back(query)

    def _count(self, outcome: str, seconds: float) -> None:
        self._metrics.chat_access.labels(outcome).observe(seconds)

    def _count_refused(self, query: AccessQuery) -> None:
        self._count("busy", self._clock() - query.since)
