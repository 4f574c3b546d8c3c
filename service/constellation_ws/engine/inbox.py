"""Messages of sessions that wait to be handled: one of a session at a time, in order.

The handlers are those that are registered with the engine.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog

from constellation_ws.engine.session import EngineSession
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.runtime.turns import paced

logger = structlog.get_logger(__name__)

MAX_INBOX = 64
"""Messages of one client that may wait before its connection is not read any more."""
_IN_A_ROW = 4
"""Messages of one client that are handled in one turn: some 0.3 ms."""
_FAILED = "a client's message could not be handled"


class SessionClosed(NamedTuple):
    """The last item of an inbox: the session is closed, for this reason."""

    reason: str


InboxItem = str | bytes | SessionClosed
Rest = Callable[[], Awaitable[None]]
"""What is left to do for a message, and may wait."""


class InboxHost(Protocol):
    """What inboxes use of the engine that holds the sessions."""

    handlers: Mapping[str, Callable[..., Any]]
    """Those of `message` give a `Rest` or None; those of `disconnect` are coroutine functions."""
    closed_sessions: ClosedSessions
    turns: TurnQueue

    def spawn(self, work: Coroutine[Any, Any, None]) -> object:
        """Run a coroutine as a task."""

    def close(self, session: EngineSession, reason: str) -> None:
        """Close a session after all that was sent to it."""


def handle(engine: InboxHost, session: EngineSession, message: str) -> None:
    """Handle a message at once, without a task unless it has to wait; for one that came alone.

    Behind others of its session it is queued. Whoever sends many at once has to wait for a task.
    """
    if session.inbox is not None:
        put(engine, session, message)
        return
    rest = _dispatch(engine, session, message)
    if rest is not None:
        session.inbox = deque()
        engine.spawn(_handle(engine, session, rest))


def put(engine: InboxHost, session: EngineSession, item: InboxItem) -> None:
    """Queue an item behind those before it. If the inbox is full, the WebSocket is paused."""
    if session.inbox is None and isinstance(item, SessionClosed):
        engine.closed_sessions.add(session, item)  # nothing comes after it
        return
    if session.inbox is None:
        session.inbox = deque([item])
        engine.spawn(_handle(engine, session, None))
        return
    session.inbox.append(item)
    if len(session.inbox) == MAX_INBOX and session.websocket is not None:
        session.websocket.pause_reading()


def is_full(session: EngineSession) -> bool:
    """Return whether a client should wait before it sends more."""
    return session.inbox is not None and len(session.inbox) >= MAX_INBOX


class ClosedSessions:
    """Closed sessions with an empty inbox, whose `disconnect` handler has not run yet.

    One task runs all handlers and lets others run in between. Thousands of sessions may be closed
    at the same moment, and a task for each would block the event loop for a second.
    """

    def __init__(self, engine: InboxHost) -> None:
        self._engine = engine
        self._waiting: deque[tuple[EngineSession, SessionClosed]] = deque()
        self._is_running = False

    def add(self, session: EngineSession, closed: SessionClosed) -> None:
        """Have the `disconnect` handler called soon."""
        self._waiting.append((session, closed))
        if not self._is_running:
            self._is_running = True
            self._engine.spawn(self._handle())

    def __len__(self) -> int:
        return len(self._waiting)

    async def _handle(self) -> None:
        try:
            async for session, closed in paced(self._popped()):
                rest = _dispatch(self._engine, session, closed)
                if rest is not None:
                    await _finish(self._engine, session, rest)
        finally:
            self._is_running = False

    def _popped(self) -> Iterator[tuple[EngineSession, SessionClosed]]:
        while self._waiting:
            yield self._waiting.popleft()


async def _handle(engine: InboxHost, session: EngineSession, rest: Rest | None) -> None:
    """Handle the rest of a message, and the items of the inbox until it is empty."""
    inbox = session.inbox
    assert inbox is not None, "made by the caller"
    if rest is not None:
        await _finish(engine, session, rest)
    for handled in itertools.count():
        if not inbox:
            break
        if handled % _IN_A_ROW == 0:
            await engine.turns.wait()
        item = inbox.popleft()
        if len(inbox) == MAX_INBOX // 2:
            session.resume_reading()
        rest = _dispatch(engine, session, item)
        if rest is not None:
            await _finish(engine, session, rest)
    session.inbox = None


def _dispatch(engine: InboxHost, session: EngineSession, item: InboxItem) -> Rest | None:
    """Handle an item as far as that needs no waiting."""
    try:
        if isinstance(item, SessionClosed):
            return partial(engine.handlers["disconnect"], session.sid, item.reason)
        # Also if the client has disconnected: its last message may be that it leaves the namespace.
        rest: Rest | None = engine.handlers["message"](session.sid, item)
    except Exception:  # the boundary around handlers: one client fails, not all
        logger.exception(_FAILED, sid=session.sid)
        engine.close(session, "server error")
        return None
    return rest


async def _finish(engine: InboxHost, session: EngineSession, rest: Rest) -> None:
    try:
        await rest()
    except Exception:  # the other half of that boundary
        logger.exception(_FAILED, sid=session.sid)
        engine.close(session, "server error")
