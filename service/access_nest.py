"""Asks the API over NestJS' TCP transport who is in a chat, as any of its clients would."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

from service.access_answers import MAX_ANSWER_BYTES, NoAnswer, is_participant
from service.events import ChatId, UserId
from service.nest_framing import FrameDecoder, FramingError, Reply, encode, read_reply


class NestApi:
    """One connection, made when somebody asks; answers are matched by id."""

    def __init__(self, host: str, port: int, pattern: str) -> None:
        self._host = host
        self._port = port
        self._pattern = pattern
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def allows(self, user: UserId, chat: ChatId) -> bool:
        """Ask once. Raises NoAnswer; how long it may take is the caller's affair."""
        try:
            reply = await self._ask(chat)
        except _LineLost:  # the API's pod was replaced, say: a question may be asked twice
            reply = await self._ask(chat)
        return is_participant(user, reply)

    async def aclose(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.hang_up("the gateway ends")

    async def _ask(self, chat: ChatId) -> Reply:
        line = await self._connected()
        return await line.ask(self._pattern, {"chatId": chat})

    async def _connected(self) -> _Line:
        async with self._connecting:
            if self._line is None or self._line.is_lost:
                try:
                    _, self._line = await asyncio.get_running_loop().create_connection(
                        _Line, self._host, self._port
                    )
                except OSError as error:
                    raise NoAnswer("the API cannot be connected to") from error
            return self._line


class _LineLost(NoAnswer):
    """The API has closed the connection before it answered."""


class _Line(asyncio.Protocol):
    """A connection to the API: questions out, answers in, in any order."""

    def __init__(self) -> None:
        self.is_lost = False
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._numbers = itertools.count(1)
        self._heard = 0
        self._transport: asyncio.Transport | None = None

    async def ask(self, pattern: str, data: object) -> Reply:
        """Ask and wait for the answer. Raises NoAnswer when the line is lost."""
        assert self._transport is not None, "connected"
        if self.is_lost:
            raise _LineLost("the API has closed the connection")
        number, heard = str(next(self._numbers)), self._heard
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._transport.write(encode({"pattern": pattern, "data": data, "id": number}))
        try:
            return await answer
        except asyncio.CancelledError:
            if self._heard == heard:  # all that time not a word: who is there may not be there
                self.hang_up("the API is silent")
            raise
        finally:
            del self._waiting[number]

    def hang_up(self, reason: str) -> None:
        """Close at once; whoever waits gets no answer."""
        if self._transport is not None:
            self._transport.abort()
        self._lose(NoAnswer(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        try:
            for text in self._decoder.feed(data):
                self._heard += 1
                self._take(read_reply(text))
        except FramingError as error:
            self.hang_up(f"the API's answer cannot be read: {error.fault}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(_LineLost("the API has closed the connection"))

    def _take(self, reply: Reply) -> None:
        answer = self._waiting.get(reply.id)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def _lose(self, reason: NoAnswer) -> None:
        self.is_lost = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(reason)
