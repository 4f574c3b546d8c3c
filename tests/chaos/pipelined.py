"""A connection to Redis as ioredis keeps it: commands leave at once, replies are matched in order.

A publisher that waits for each reply has one event under way while Redis hangs; real ones have all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hiredis

from tests.processes import HOST

PATIENCE_SECONDS = 30.0
"""A connection whose oldest command is unanswered for so long is given up."""


class Unanswered(ConnectionError):
    """The connection is gone: whether the command was executed is not known."""


class Pipelined(asyncio.Protocol):
    """One connection. Made by `pipelined`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[object]] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, *words: str | bytes) -> asyncio.Future[object]:
        """Send a command. The future has the reply, or raises what Redis objects, or Unanswered."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            answer.set_exception(Unanswered("the connection is gone"))
            return answer
        self._waiting.append(answer)
        pack: Any = hiredis.pack_command  # its type knows commands of one word only
        self._transport.write(pack(words))
        if self._timer is None:
            self._watch(answer)
        return answer

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            answer = self._waiting.popleft()
            if answer.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        """Give it up; what is unanswered stays so."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(Unanswered("the connection was lost"))

    def _watch(self, oldest: asyncio.Future[object]) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE_SECONDS, self._look_after, oldest)

    def _look_after(self, oldest: asyncio.Future[object]) -> None:
        self._timer = None
        if not oldest.done():
            self.close()
        elif self._waiting:
            self._watch(self._waiting[0])


@asynccontextmanager
async def pipelined(port: int) -> AsyncIterator[Pipelined]:
    """A connection to a Redis of this machine. Raises OSError where nobody listens."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Pipelined(port), HOST, port)
    try:
        yield connection
    finally:
        connection.close()
