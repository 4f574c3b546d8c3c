"""Asks the API over NestJS' TCP transport who is in a chat, as any of its clients would."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

from constellation_ws.access.answers import MAX_ANSWER_BYTES, Answer, NoAnswer, read_participants
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.framing import FrameDecoder, FramingError, Reply, encode, read_reply


class NestApi:
    """One connection, made when somebody asks; answers are matched by id."""

    def __init__(self, host: str, port: int, pattern: str, timeout_seconds: float) -> None:
        """Connecting may take as long as an answer, and neither counts against the other."""
        self._host = host
        self._port = port
        self._pattern = pattern
        self._timeout_seconds = timeout_seconds
        self._line: _Line | None = None
        self._connecting: asyncio.Future[Exception | None] | None = None
        """Done when a connection was made, or with why not."""

    def subject(self, user: UserId, chat: ChatId) -> object:
        """Say what a question is about: the chat, as an answer names all its users."""
        return chat

    async def ask(self, user: UserId, chat: ChatId) -> Answer:
        """Ask once. Raises NoAnswer, or TimeoutError where none comes in time."""
        try:
            reply = await self._ask(chat)
        except _LineLost:  # the API's pod was replaced, say: a question may be asked twice
            reply = await self._ask(chat)
        return read_participants(user, reply)

    async def aclose(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.hang_up(NoAnswer("the gateway is stopping"))

    async def _ask(self, chat: ChatId) -> Reply:
        line = await self._connected()
        return await line.ask(self._pattern, {"chatId": chat}, self._timeout_seconds)

    async def _connected(self) -> _Line:
        """Give the connection. One is made for all who need it, and fails for all of them."""
        if self._line is None or self._line.is_lost:
            if self._connecting is None:
                return await self._connect()
            connecting = self._connecting
            await asyncio.wait({connecting})
            if connecting.cancelled():
                return await self._connected()  # whoever connected has left
            if failure := connecting.result():
                raise type(failure)(str(failure)) from failure
        assert self._line is not None, "connected"
        return self._line

    async def _connect(self) -> _Line:
        loop = asyncio.get_running_loop()
        connecting = self._connecting = loop.create_future()
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                _, self._line = await loop.create_connection(_Line, self._host, self._port)
                return self._line
        except TimeoutError as error:
            failure = TimeoutError("connecting to the API timed out")
            raise failure from error
        except (OSError, UnicodeError) as error:
            failure = NoAnswer("cannot connect to the API")
            raise failure from error
        except asyncio.CancelledError:
            connecting.cancel()
            raise
        finally:
            self._connecting = None
            if not connecting.done():
                connecting.set_result(failure)


class _LineLost(NoAnswer):
    """The connection was lost before the answer came; another one may bring it."""


class _Line(asyncio.Protocol):
    """A connection to the API: questions out, answers in, in any order."""

    def __init__(self) -> None:
        self.is_lost = False
        self._decoder = FrameDecoder(MAX_ANSWER_BYTES)
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._numbers = itertools.count(1)
        self._reads = 0
        self._transport: asyncio.Transport | None = None

    async def ask(self, pattern: str, data: object, timeout_seconds: float) -> Reply:
        """Ask and wait for the answer. Raises TimeoutError, or NoAnswer when the line is lost."""
        assert self._transport is not None, "connected"
        if self.is_lost:
            raise _LineLost("the API has closed the connection")
        number, reads = str(next(self._numbers)), self._reads
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._transport.write(encode({"pattern": pattern, "data": data, "id": number}))
        try:
            # Unlike asyncio.timeout it ends with an answer that was read in the step of its timer,
            # as all are when this process was paused.
            await asyncio.wait({answer}, timeout=timeout_seconds)
        finally:
            del self._waiting[number]
        if answer.done():
            return answer.result()
        # Only this much proves that nobody is there: a question was on the line for the whole
        # timeout, and not a byte came. One that was cancelled, or has waited elsewhere, does not.
        if self._reads == reads:
            self.hang_up(_LineLost("the API is silent"))
        raise TimeoutError("the API did not answer in time")

    def hang_up(self, reason: NoAnswer) -> None:
        """Close at once; whoever waits gets no answer."""
        if self._transport is not None:
            self._transport.abort()
        self._lose(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._reads += 1
        try:
            for text in self._decoder.feed(data):
                self._take(read_reply(text))
        except FramingError as error:
            self.hang_up(NoAnswer(f"the API's answer cannot be read: {error.fault}"))

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
                answer.exception()  # no complaint where nobody waits for it any more
