"""Commands of many senders over one connection, in their order, many in one write.

What a command says, and what its reply means, is not known here. redis-py packs each command in
Python and reads each reply through four coroutines: 12 us, where these take 2.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import hiredis
import msgspec
from redis._parsers.base import BaseParser
from redis.asyncio import Redis
from redis.exceptions import AskError, MovedError, NoScriptError

from constellation_ws.redis_io.client import NOT_EXECUTED, RETRY_SECONDS, LocatedRedis
from constellation_ws.redis_io.link import (
    FAULTS,
    Link,
    RedisMoved,
    backoff_seconds,
    open_link,
)
from constellation_ws.runtime.deadline import call_when_due
from constellation_ws.runtime.spawning import Spawn

_MAX_BATCH = 256
_MAX_BATCH_BYTES = 1_000_000
_LAST_REPLIES_SECONDS = 1.0
"""How long a former primary may still answer what it was sent."""

_parse_error: Callable[[str], Exception] = BaseParser.parse_error
Words = tuple[str | bytes | int, ...]
Answered = Callable[[Any], None]
"""Receives the reply, or the exception that says why there is none. Must not raise."""


class _Command(msgspec.Struct):
    due: float
    key: str | None
    words: Words
    size: int
    answered: Answered
    is_elsewhere: bool = False
    """Whether our node has sent it to the one that the keys are being moved to."""


class CommandQueue:
    """Sends what was queued in one turn of the event loop together, once all before is answered.

    Nothing connects before the first command, and no command is executed twice.
    """

    def __init__(
        self, redis: Redis, spawn: Spawn, timeout_seconds: float, scripts: Sequence[str] = ()
    ) -> None:
        """A command without a reply within `timeout_seconds` has a TimeoutError instead.

        `scripts` are loaded at each node before its first command, and where a node has lost them.
        """
        self._redis = redis
        self._spawn = spawn
        self._timeout_seconds = timeout_seconds
        self._loads: list[Words] = [("SCRIPT", "LOAD", source) for source in scripts]
        self._loading = 0
        """Scripts that are on their way to the node."""
        self._load_fault: Exception | None = None
        """Why the node does not accept scripts."""
        self._lacks_scripts = False
        """Whether the node does not have one that it was sent, or has lost it."""
        self._waiting: deque[_Command] = deque()
        self._sent: deque[_Command] = deque()
        self._not_executed: list[_Command] = []
        """Those of the batch that the node refused: it is another's turn to serve them, or a script
        is missing."""
        self._link: Link | None = None
        self._key: str | None = None
        """The key whose node the link is to, if that is another one than ours."""
        self._has_progressed = False
        """Whether the node has executed a command."""
        self._is_leaving = False
        """Whether the link is to a Redis that is not the one to use any more."""
        self._most = _MAX_BATCH
        """Commands in the next batch. Nobody knows whether a batch without replies was executed.
        So a Redis that hangs gets one command at a time, until it answers."""
        self._moves_until = 0.0
        """Until when a node that cannot be reached is tried again: the commands' keys move."""
        self._answers_all: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False
        self._sends_soon = False

    def send(self, words: Words, size: int, answered: Answered, *, key: str | None = None) -> None:
        """Queue a command of about so many bytes, for the node that has its key."""
        now = asyncio.get_running_loop().time()
        self._waiting.append(_Command(now + self._timeout_seconds, key, words, size, answered))
        if self._timer is None:
            self._set_timer()
        if not self._is_running:
            self._is_running = True
            self._spawn(self._run())
        elif not self._sent:
            self._send_soon()

    async def _run(self) -> None:
        """Stay connected; without a connection, until nothing waits."""
        try:
            attempt = 0
            while self._waiting:
                is_moving = await self._hold()
                attempt = attempt + 1 if is_moving else 0
                if is_moving:
                    await asyncio.sleep(backoff_seconds(attempt, random.random()))
        finally:
            self._is_running = False

    async def _hold(self) -> bool:
        """Hold a connection until it ends; return whether to pause before the next one."""
        first = self._waiting[0]
        self._key = key = first.key if first.is_elsewhere else None
        is_connected = self._has_progressed = False
        try:
            async with open_link(self._redis, self._receive, *([key] if key else [])) as link:
                self._link, is_connected = link, True
                self._load_scripts(link)
                self._send_batch()
                try:
                    await link.disconnected()
                except RedisMoved:
                    await self._leave(link)
        except _Moving:
            return not self._has_progressed
        except FAULTS as error:
            if is_connected:
                self._give_up(self._sent, error)
            elif asyncio.get_running_loop().time() < self._moves_until:
                return True
            else:
                self._give_up(self._waiting, error)
        finally:
            self._link, self._is_leaving = None, False
            self._waiting.extendleft(reversed(self._not_executed))
            self._not_executed.clear()
            self._set_timer()
        return False

    async def _leave(self, link: Link) -> None:
        """Wait for the replies of a Redis that is not the one to use any more, for a moment."""
        self._is_leaving = True
        if not self._sent:
            return
        self._answers_all = asyncio.get_running_loop().create_future()
        with suppress(asyncio.TimeoutError):
            async with asyncio.timeout(_LAST_REPLIES_SECONDS):
                await link.answer(self._answers_all)
        self._give_up(self._sent, ConnectionError("another Redis is to be used"))

    def _load_scripts(self, link: Link) -> None:
        self._loading, self._load_fault, self._lacks_scripts = len(self._loads), None, False
        if self._loads:
            link.send_together(*self._loads)

    def _send_soon(self) -> None:
        """Send at the end of this turn, together with what else it brings."""
        if not self._sends_soon:
            self._sends_soon = True
            asyncio.get_running_loop().call_soon(self._send_batch)

    def _send_batch(self) -> None:
        self._sends_soon = False
        link, waiting, sent, size = self._link, self._waiting, self._sent, 0
        if link is None or sent or self._is_leaving:
            return
        while waiting and len(sent) < self._most and size < _MAX_BATCH_BYTES:
            if link.asks and not waiting[0].is_elsewhere and waiting[0].key != self._key:
                break
            command = waiting.popleft()
            size += command.size
            sent.append(command)
        if sent:
            link.send_together(*[command.words for command in sent])
        elif waiting:
            self._drop(_Moving("the next key is at another node"))

    def _receive(self, parser: hiredis.Reader) -> None:
        sent = self._sent
        while (reply := parser.gets()) is not False:
            if self._loading:
                self._note_loaded(reply)
                continue
            command = sent.popleft()
            if isinstance(reply, hiredis.ReplyError):
                self._refuse(command, _parse_error(str(reply)))
            else:
                self._has_progressed = True
                command.answered(reply)
        if not sent:
            self._end_batch()

    def _note_loaded(self, reply: Any) -> None:
        self._loading -= 1
        if isinstance(reply, hiredis.ReplyError):
            self._load_fault = _parse_error(str(reply))

    def _refuse(self, command: _Command, error: Exception) -> None:
        if isinstance(error, NOT_EXECUTED) and isinstance(self._redis, LocatedRedis):
            self._redis.topology.judge(error)
            command.is_elsewhere = isinstance(error, AskError) and not isinstance(error, MovedError)
            self._not_executed.append(command)
        elif isinstance(error, NoScriptError) and self._loads:
            self._lacks_scripts = True
            if self._load_fault is None:
                self._not_executed.append(command)
            else:
                command.answered(self._load_fault)
        else:
            command.answered(error)

    def _end_batch(self) -> None:
        self._most = _MAX_BATCH
        if self._answers_all is not None and not self._answers_all.done():
            self._answers_all.set_result(None)
        if self._not_executed:
            self._moves_until = asyncio.get_running_loop().time() + RETRY_SECONDS
            self._drop(_Moving("another connection is to be used"))
        elif self._lacks_scripts:  # it may only have been loading its data
            self._drop(ConnectionError("Redis has not accepted the scripts"))
        elif self._waiting:
            self._send_soon()

    def _drop(self, error: Exception) -> None:
        """End the connection; `_run` connects again if anything waits."""
        link, self._link = self._link, None
        if link is not None:
            link.fail(error)

    def _give_up(self, commands: deque[_Command], error: Exception) -> None:
        """Report why these commands have no reply. Whether those sent were executed is unknown."""
        given_up = [*commands]
        commands.clear()
        if given_up:
            self._most = 1
        for command in given_up:
            command.answered(error)

    def _expire(self) -> None:
        """Give up what is due, and with what was sent the connection that did not answer."""
        now = asyncio.get_running_loop().time()
        self._timer = None
        if self._sent and self._sent[0].due <= now:
            error = TimeoutError("Redis does not answer")
            self._drop(error)
            self._give_up(self._sent, error)
        while self._waiting and self._waiting[0].due <= now:
            self._waiting.popleft().answered(TimeoutError("Redis does not answer"))
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the oldest command expire when it is due."""
        oldest = self._sent or self._waiting
        if self._timer is None and oldest:
            self._timer = call_when_due(oldest[0].due, self._expire)


class _Moving(ConnectionError):
    """A node refused commands that it has not executed: they are sent over another connection."""
