"""Who may be in a chat: what a token says, or what the API answers, shared, remembered, and closed.

Which words the API is asked in is not known here: `access_http` and `access_nest` ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import structlog

from service.access_answers import NoAnswer
from service.admission import ACCESS_UNAVAILABLE, FORBIDDEN, Refusal
from service.auth import Identity
from service.events import ChatId, UserId, chat_room, user_room
from service.metrics import Metrics

log = structlog.get_logger(__name__)

YES_SECONDS = 10.0
"""How long a yes is remembered: a page that is reloaded, or a pod that is drained, asks once.

Membership that ends by an event is forgotten at once, so this bounds only what nobody tells us.
"""
NO_SECONDS = 1.0
"""How long a no is: who is let in a moment later should not notice; a loop costs the API little."""
MAX_KNOWN = 50_000
"""Answers remembered, at 0.6 KB each; the oldest goes first."""
MAX_CALLS = 64
"""Calls to the API at a time: at 5 ms each 12,000 a second, more than an API should bear."""
MAX_WAITING = 10_000
"""Questions that may wait for a call, with it; more could not be answered in time anyway."""
_ATTEMPTS = 2
"""How often one is asked anew whose answer was overtaken by the end of a membership."""
_CHAT_PREFIX = chat_room(ChatId(""))
_USER_PREFIX = user_room(UserId(""))

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Begins a task."""


class Access(Protocol):
    """Says who may be in a chat."""

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        """Say why somebody may not join a chat; None where it may, with no step in between."""

    async def find_lost(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        """Say in which of some rooms somebody may be no more; None where that cannot be told."""

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        """Say which of some rooms a newer token of somebody takes away."""

    def forget(self, room: str, who: str | None) -> None:
        """Take note that a membership has ended: of one room's members, or, for None, of all."""

    async def aclose(self) -> None:
        """Leave open questions without an answer; whoever asks later gets none either."""


class Api(Protocol):
    """Asks who is in a chat."""

    async def allows(self, user: UserId, chat: ChatId) -> bool:
        """Ask once. Raises NoAnswer; how long it may take is the caller's affair."""

    async def aclose(self) -> None:
        """Hang up."""


class Claims:
    """The chats that a token names, for as long as it is worth anything."""

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        return None if chat in (identity.chats or ()) else FORBIDDEN

    async def find_lost(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        return self.outdated(identity, rooms)

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        mine = {chat_room(ChatId(chat)) for chat in identity.chats or ()}
        return frozenset(_chat_rooms(rooms)) - mine

    def forget(self, room: str, who: str | None) -> None:
        """A token is not ours to change: it names its chats until it ends."""

    async def aclose(self) -> None:
        """Nothing is held."""


class _Question:
    """Whether one user may be in one chat: asked, answered or overtaken."""

    __slots__ = ("allowed", "answered", "chat", "is_void", "task", "until", "user")

    def __init__(self, user: UserId, chat: ChatId) -> None:
        self.user = user
        self.chat = chat
        self.answered: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        """Done when it is answered; then None, since many answers are kept."""
        self.allowed: bool | None = None
        """None before it is answered, and where there was no answer."""
        self.until = float("inf")
        """Monotonic seconds; after that it is asked anew."""
        self.is_void = False
        """Whether what it says counts no more: a membership has ended, or it was forgotten."""
        self.task: asyncio.Task[Any] | None = None
        """Asks; None before it has begun, and when it is answered."""


class Asked:
    """What the API answers. One question about a user and a chat is asked once at a time."""

    def __init__(
        self,
        api: Api,
        metrics: Metrics,
        *,
        spawn: Spawn,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._spawn = spawn
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._is_closed = False
        self._known: dict[tuple[str, str], _Question] = {}
        """By room and user, oldest first; the open ones too."""
        self._users: dict[str, set[str]] = {}
        """Of whom something is known, by room."""
        self._open: set[_Question] = set()

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        """Say why somebody may not join a chat; None where it may, with no step in between."""
        allowed = await self._allows(identity.user, chat)
        if allowed is None:
            return ACCESS_UNAVAILABLE
        return None if allowed else FORBIDDEN

    async def find_lost(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str] | None:
        """Say in which of some rooms somebody may be no more; None where that cannot be told."""
        asked = list(_chat_rooms(rooms))
        chats = [ChatId(room.removeprefix(_CHAT_PREFIX)) for room in asked]
        answers = await asyncio.gather(*(self._allows(identity.user, chat) for chat in chats))
        if None in answers:
            return None
        return frozenset(room for room, allowed in zip(asked, answers, strict=True) if not allowed)

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        """Say that a token takes nothing away: the API says who is in a chat."""
        return frozenset()

    def forget(self, room: str, who: str | None) -> None:
        """Take note that a membership has ended: of one room's members, or, for None, of all.

        A question that is open is void as well: its answer may be older than this.
        """
        ended = self._users.get(room, set())
        if who is not None and who.startswith(_USER_PREFIX):  # in any other room may be anybody
            ended = ended & {who.removeprefix(_USER_PREFIX)}
        for user in tuple(ended):
            self._drop(self._known[room, user])

    async def aclose(self) -> None:
        """Leave open questions without an answer; whoever asks later gets none either."""
        self._is_closed = True
        for question in tuple(self._open):
            if question.task is not None:
                question.task.cancel()
            self._settle(question)
        await self._api.aclose()

    async def _allows(self, user: UserId, chat: ChatId) -> bool | None:
        """Recall the answer or get one; None where there is none."""
        for _ in range(_ATTEMPTS):
            question = self._recall(user, chat) or self._begin(user, chat)
            if question is None:
                return None
            if question.answered is not None:
                await asyncio.wait({question.answered})
            # Steps may have passed since it was answered: from here on none does.
            if not question.is_void:
                return question.allowed
        return None

    def _recall(self, user: UserId, chat: ChatId) -> _Question | None:
        question = self._known.get((chat_room(chat), user))
        if question is not None and self._clock() >= question.until:
            self._drop(question)
            return None
        return question

    def _begin(self, user: UserId, chat: ChatId) -> _Question | None:
        """Ask the API, in a task: whoever leaves meanwhile takes nobody's answer along."""
        if self._is_closed or len(self._open) >= MAX_WAITING:
            self._count("busy", 0)
            return None
        question, room = _Question(user, chat), chat_room(chat)
        if len(self._known) >= MAX_KNOWN:
            self._drop(next(iter(self._known.values())))
        self._known[room, user] = question
        self._users.setdefault(room, set()).add(user)
        self._open.add(question)
        self._spawn(self._ask(question))
        return question

    async def _ask(self, question: _Question) -> None:
        if self._is_closed:
            return
        question.task, started, outcome = asyncio.current_task(), self._clock(), "failed"
        try:
            async with asyncio.timeout(self._timeout_seconds), self._calls:
                question.allowed = await self._api.allows(question.user, question.chat)
            outcome = "yes" if question.allowed else "no"
        except TimeoutError:
            outcome = "timeout"
            log.warning("nobody says who may join", reason="no answer in time")
        except NoAnswer as error:
            log.warning("nobody says who may join", reason=str(error))
        except Exception:
            log.exception("a question about a chat failed")
        finally:
            self._count(outcome, self._clock() - started)
            self._settle(question)

    def _settle(self, question: _Question) -> None:
        """Remember an answer from now on; what was none is asked anew by whoever comes next."""
        self._open.discard(question)
        if question.allowed is None:
            self._take_out(question)
        else:
            keep = YES_SECONDS if question.allowed else NO_SECONDS
            question.until = self._clock() + keep
        question.task = None
        if question.answered is not None:
            question.answered.set_result(None)
            question.answered = None

    def _drop(self, question: _Question) -> None:
        question.is_void = True
        self._take_out(question)

    def _take_out(self, question: _Question) -> None:
        room = chat_room(question.chat)
        if self._known.get((room, question.user)) is not question:
            return
        del self._known[room, question.user]
        users = self._users[room]
        users.discard(question.user)
        if not users:
            del self._users[room]

    def _count(self, outcome: str, seconds: float) -> None:
        self._metrics.chat_access.labels(outcome).observe(seconds)


def _chat_rooms(rooms: Iterable[str]) -> Iterable[str]:
    """Give the rooms that clients join themselves; into others only operators put anybody."""
    return (room for room in rooms if room.startswith(_CHAT_PREFIX))
