"""A client of NestJS microservices over TCP: questions out, answers in, matched by id.

What is asked, and whether it may be asked twice, is decided by those who ask.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import NamedTuple, cast

from constellation_ws.nest.framing import (
    FramingError,
    Reply,
    encode,
    read_reply,
)
from constellation_ws.nest.long_frames import SkippingDecoder, find_id

_MAX_UNSENT_BYTES = 1_048_576
"""A service that leaves more than this unread gets its questions over another connection."""


class NoReply(Exception):
    """The service gave no answer; `str()` says why and holds nothing that it sent.

    Whoever failed of the same (a connection that was lost, or could not be made) gets the same
    exception.
    """


class LineLost(NoReply):
    """The connection was lost before the answer came; another one may bring it."""


class ConnectTimeout(NoReply):
    """Connecting took too long."""


class ReplyTooLong(NoReply):
    """The answer was too long."""


class NestClient:
    """Connections to one service, made when somebody asks and made again when they are lost.

    Behind a Kubernetes Service each may reach another pod: a question goes where the fewest wait.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_answer_bytes: int,
        connect_seconds: float,
        silence_seconds: float,
        max_connections: int = 1,
    ) -> None:
        """A connection on which a question gets no byte for `silence_seconds` is not used again."""
        self._places = [
            _Place(host, port, max_answer_bytes, connect_seconds, silence_seconds)
            for _ in range(max_connections)
        ]

    async def line(self) -> Line:
        """Give a connection to ask on, at once. Raises NoReply."""
        return await min(self._places, key=lambda place: place.load).connected()

    async def aclose(self) -> None:
        """Hang up."""
        for place in self._places:
            place.hang_up()


class _Place:
    """Where one connection is, or is being made. One is made for all who need it."""

    def __init__(
        self,
        host: str,
        port: int,
        max_answer_bytes: int,
        connect_seconds: float,
        silence_seconds: float,
    ) -> None:
        self._host, self._port = host, port
        self._max_answer_bytes = max_answer_bytes
        self._connect_seconds = connect_seconds
        self._silence_seconds = silence_seconds
        self._line: Line | None = None
        self._connecting: asyncio.Future[Line] | None = None
        self._joining = 0

    @property
    def load(self) -> int:
        """How many wait here, for the connection or for an answer."""
        return self._joining + (0 if self._line is None else self._line.waiting)

    async def connected(self) -> Line:
        """Give the connection. Where it cannot be made, that fails at once for all who need it."""
        self._joining += 1
        try:
            while self._line is None or not self._line.is_usable:
                if self._connecting is None:
                    return await self._connect()
                connecting = self._connecting
                await asyncio.wait({connecting})
                if not connecting.cancelled():  # else whoever connected has left
                    return connecting.result()
            return self._line
        finally:
            self._joining -= 1

    def hang_up(self) -> None:
        if self._line is not None:
            self._line.hang_up(NoReply("the gateway is stopping"))

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        connecting: asyncio.Future[Line] = loop.create_future()
        self._connecting = connecting
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, line = await loop.create_connection(self._make_line, self._host, self._port)
            self._line = line
            connecting.set_result(line)
        except TimeoutError:
            connecting.set_exception(ConnectTimeout("connecting timed out"))
        except (OSError, UnicodeError) as error:
            failure = NoReply("no connection can be made")
            failure.__cause__ = error
            connecting.set_exception(failure)
        finally:
            self._connecting = None
            if not connecting.done():
                connecting.cancel()
        return connecting.result()

    def _make_line(self) -> Line:
        return Line(self._max_answer_bytes, self._silence_seconds)


class _Waiting(NamedTuple):
    answer: asyncio.Future[Reply]
    is_repeatable: bool


class Line(asyncio.Protocol):
    """A connection to a service."""

    def __init__(self, max_answer_bytes: int, silence_seconds: float) -> None:
        self._decoder = SkippingDecoder(max_answer_bytes)
        self._silence_seconds = silence_seconds
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = itertools.count(1)
        self._reads = 0
        self._is_retired = False
        self._transport: asyncio.Transport | None = None

    @property
    def is_usable(self) -> bool:
        """Whether something may be asked on it."""
        return not (self._is_retired or self._transport is None or self._transport.is_closing())

    @property
    def waiting(self) -> int:
        """How many questions are not answered yet."""
        return len(self._waiting)

    async def ask(
        self, pattern: str, data: object, timeout_seconds: float, *, is_repeatable: bool
    ) -> Reply:
        """Ask and wait for the answer. Raises TimeoutError, or NoReply when the line is lost.

        A question that is repeatable raises LineLost already when the line is found to be silent.
        """
        if not self.is_usable:
            raise LineLost("it has closed the connection")
        assert self._transport is not None, "connected"
        number, reads = str(next(self._numbers)), self._reads
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = _Waiting(answer, is_repeatable)
        try:
            self._transport.write(encode({"pattern": pattern, "data": data, "id": number}))
            if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
                self._retire("it does not read")
            # Unlike asyncio.timeout it ends with an answer that was read in the step of its timer,
            # as all are when this process was paused.
            await asyncio.wait({answer}, timeout=timeout_seconds)
            if answer.done():
                return answer.result()
            # Only this much proves that nobody is there: a question was on the line for all its
            # time, and not a byte came. One that was cancelled, or has waited elsewhere, does not.
            if self._reads == reads and timeout_seconds >= self._silence_seconds:
                self._retire("it is silent")
            raise TimeoutError("no answer in time")
        finally:
            del self._waiting[number]
            self._close_unused()

    def hang_up(self, reason: NoReply) -> None:
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
                if self._decoder.is_cut:
                    self._take_cut(text)
                else:
                    self._take(read_reply(text))
        except FramingError as error:
            self.hang_up(NoReply(f"its answer cannot be read: {error.fault}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(LineLost("it has closed the connection"))

    def _take(self, reply: Reply) -> None:
        waiting = self._waiting.get(reply.id)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(reply)

    def _take_cut(self, end: bytes) -> None:
        """Refuse the question whose answer is too long; where that is not known, it times out."""
        waiting = self._waiting.get(find_id(end) or "")
        if waiting is not None:
            _fail(waiting.answer, ReplyTooLong("its answer is too long"))

    def _retire(self, reason: str) -> None:
        """Use it for no more questions. Those that must not be asked twice keep their time."""
        self._is_retired = True
        lost = LineLost(reason)
        for waiting in self._waiting.values():
            if waiting.is_repeatable:
                _fail(waiting.answer, lost)

    def _close_unused(self) -> None:
        if self._is_retired and not self._waiting and self._transport is not None:
            self._transport.abort()

    def _lose(self, reason: NoReply) -> None:
        self._is_retired = True
        for waiting in self._waiting.values():
            _fail(waiting.answer, reason)


def _fail(answer: asyncio.Future[Reply], reason: NoReply) -> None:
    if not answer.done():
        answer.set_exception(reason)
        answer.exception()  # no complaint where nobody waits for it any more
