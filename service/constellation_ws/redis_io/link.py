"""One Redis connection whose replies are handled as they arrive.

redis-py connects (TLS, authentication, Sentinel, Cluster), then the transport is ours. What the
replies mean is not known here. Why: docs/decisions/0001-pubsub-reader.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from constellation_ws.redis_io.address import Node, label_node
from constellation_ws.redis_io.client import LocatedConnection, LocatedRedis
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.faults import FAULTS
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.runtime.turns import Turn

__all__ = ["FAULTS"]

Reply = TypeVar("Reply")

OnReplies = Callable[[hiredis.Reader], None]
"""Takes all complete replies out of the reader; a read is a batch."""


class RedisUnavailable(ConnectionError):
    """Redis did not accept a command; the sender should try again."""


async def answers_of(pipe: Any, sentence: str) -> list[Any]:
    """Execute a pipeline's commands; return the reply to each, or a RedisUnavailable."""
    count = len(pipe)
    try:
        answers = await pipe.execute(raise_on_error=False)
    except FAULTS as error:
        answers = [error] * count
    return [_unavailable(sentence, one) if isinstance(one, Exception) else one for one in answers]


def _unavailable(sentence: str, cause: Exception) -> RedisUnavailable:
    fault = RedisUnavailable(sentence)
    fault.__cause__ = cause
    return fault


class RedisCutShort(ConnectionError):
    """Redis closed the connection in the middle of a reply, and has discarded what follows.

    So it does above `client-output-buffer-limit`.
    """


class RedisMoved(ConnectionError):
    """Another Redis is to be used, or another connection. This one still works until it is closed,
    if its Redis does."""


def make_client(url: str, *, retries: int, names: Names = DEFAULT) -> Redis:
    """Make a client that shares nothing with others: see `Endpoint.client`."""
    return Endpoint(url, names).client(retries=retries)


_PIECE_BYTES = 16 * 1024
"""What is handled in one piece, some hundred small messages."""


class Link(asyncio.Protocol):
    """The reading half of a connection, and raw writing.

    Replies are handled within the read's own callback: no task wakes up, and between two reads the
    loop serves the sockets.
    """

    asks = False
    """Whether it is to a node that a slot is being moved to: only for keys that are there."""

    def __init__(
        self, transport: asyncio.Transport, on_replies: OnReplies, node: Node | None = None
    ) -> None:
        """`node` is where it is connected to, if that may become the wrong one."""
        self._transport = transport
        self._on_replies = on_replies
        self._node = node
        self._parser = self._make_parser()
        self._loop = asyncio.get_running_loop()
        self._disconnected: asyncio.Future[None] = self._loop.create_future()
        self._useless: asyncio.Future[None] = self._loop.create_future()
        """Done when it is lost, or when another Redis is to be used."""

    @property
    def is_superseded(self) -> bool:
        """Whether it works, but another Redis is to be used."""
        return self._useless.done() and not self._disconnected.done()

    def send(self, *words: str | bytes | int) -> None:
        """Send a command; its reply comes like any other. Nothing happens once the link is lost."""
        if self._disconnected.done() or self._transport.is_closing():
            return
        self._transport.write(self._pack(words))

    def send_together(self, *commands: tuple[str | bytes | int, ...]) -> None:
        """Send several commands in one write: Redis carries out nothing of others in between."""
        if not self._disconnected.done() and not self._transport.is_closing():
            self._transport.write(b"".join(map(self._pack, commands)))

    async def disconnected(self) -> None:
        """Wait until the connection is gone. Raises what ended it.

        Raises RedisMoved already when another Redis is to be used; until the link is left, replies
        are handled as before. Errors of `on_replies` are raised here too.
        """
        # Also after another Redis was to be used, what has ended it counts: it works no more.
        end = self._disconnected if self._disconnected.done() else self._useless
        await asyncio.shield(end)  # who waits for a while only must not end the link

    async def answer(self, expected: asyncio.Future[Reply]) -> Reply:
        """Wait for a future that a reply completes. Raises what ends the connection before."""
        either: set[asyncio.Future[Any]] = {expected, self._disconnected}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not expected.done():
            await asyncio.shield(self._disconnected)
        return expected.result()

    def forget(self) -> None:
        """Ignore how the link ends."""
        for end in (self._disconnected, self._useless):
            if not end.cancel() and not end.cancelled():
                end.exception()  # or asyncio logs it as never retrieved

    def moved(self, node: Node) -> None:
        """Note which Redis is to be used now."""
        if node != self._node:
            self.supersede(f"{label_node(node)} is to be used now")

    def supersede(self, reason: str) -> None:
        """Have another link opened in place of this one, which works until then, if it does."""
        if not self._useless.done():
            self._useless.set_exception(RedisMoved(reason))

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES:
            self._receive(data)
        else:
            # libuv reads on, up to 32 times 256 KiB, before the loop turns: 120,000 small messages
            # at once froze a pod for over two seconds.
            self._transport.pause_reading()
            self._receive_in_turns(data, 0)

    def _receive_in_turns(self, data: bytes, start: int) -> None:
        """Handle what was read, from `start` on; what does not fit into this turn, in the next."""
        turn = Turn()
        while start < len(data) and not self._disconnected.done():
            self._receive(data[start : start + _PIECE_BYTES])
            start += _PIECE_BYTES
            if turn.is_over:
                self._loop.call_soon(self._receive_in_turns, data, start)
                return
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _receive(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            self._on_replies(self._parser)
        except Exception as error:  # noqa: BLE001 - carried to `disconnected`, whose caller it concerns
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._parser.has_data():
            exc = RedisCutShort("Redis closed the connection in the middle of a message")
        self.fail(exc or ConnectionError("Redis closed the connection"))

    def fail(self, error: Exception) -> None:
        """End the link with this error, which `disconnected` and `answer` raise."""
        for end in (self._disconnected, self._useless):
            if not end.done():
                end.set_exception(error)

    def _make_parser(self) -> hiredis.Reader:
        return hiredis.Reader()

    def _pack(self, words: tuple[str | bytes | int, ...]) -> bytes:
        packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # of any length
        return packed


class _AskingLink(Link):
    """A link to the node that a slot is being moved to, which serves the slot when it is asked."""

    asks = True

    def _make_parser(self) -> hiredis.Reader:
        return _AskedReader()

    def _pack(self, words: tuple[str | bytes | int, ...]) -> bytes:
        return super()._pack(("ASKING",)) + super()._pack(words)


class _AskedReader(hiredis.Reader):
    """Leaves out every other reply, which answers ASKING."""

    _is_announced = False

    def gets(self, *args: Any) -> Any:
        if not self._is_announced:
            if super().gets() is False:
                return False
            self._is_announced = True
        reply = super().gets(*args)
        self._is_announced = reply is False
        return reply


@asynccontextmanager
async def open_link(redis: Redis, on_replies: OnReplies, *keys: str) -> AsyncIterator[Link]:
    """Hold a connection of its own, outside the client's pool. Raises what FAULTS names.

    It is connected to the node that has these keys now, of those that are used on it. When they are
    moved to another one, Redis refuses the next command; `on_replies` raises that, and the caller
    opens another link.
    """
    if not isinstance(redis, LocatedRedis):
        async with _hold(redis, on_replies) as link:
            yield link
        return
    source, asks = await redis.serving(*keys)
    async with _hold(source, on_replies, _AskingLink if asks else Link) as link:
        redis.topology.listen(link)
        yield link


@asynccontextmanager
async def open_subscription(redis: Redis, on_replies: OnReplies) -> AsyncIterator[Link]:
    """Hold a link where all pods subscribe. Raises what FAULTS names."""
    if not isinstance(redis, LocatedRedis):
        async with _hold(redis, on_replies) as link:
            yield link
        return
    meeting = redis.meeting
    node = await meeting.choose(redis)
    async with AsyncExitStack() as held:
        try:
            link = await held.enter_async_context(_hold(node.client, on_replies))
        except FAULTS:
            meeting.shun(node)
            raise
        await meeting.announce(redis, node)
        meeting.listen(link)
        yield link


@asynccontextmanager
async def _hold(
    redis: Redis, on_replies: OnReplies, make: type[Link] = Link
) -> AsyncIterator[Link]:
    pool: Any = redis.connection_pool  # its methods carry no types
    connection = pool.make_connection()
    link: Link | None = None
    try:
        await connection.connect()
        node = connection.node if isinstance(connection, LocatedConnection) else None
        transport = transport_of(connection)
        link = make(transport, on_replies, node)
        transport.set_protocol(link)
        yield link
    finally:
        if link is not None:
            link.forget()
        await connection.disconnect(nowait=True)


def transport_of(connection: AbstractConnection) -> asyncio.Transport:
    """Return the transport of a redis-py connection; private there, guarded by tests/contract.

    Raises ConnectionError if the connection is closed.
    """
    writer = connection._writer
    if writer is None:
        raise ConnectionError("Redis closed the connection")
    return cast("asyncio.Transport", writer.transport)  # it reads too, whatever its type says


def backoff_seconds(attempt: int, chance: float) -> float:
    """Full jitter below a bound that doubles from 50 ms up to a second."""
    # Bounded before it is raised: the 1024th attempt, ten minutes without Redis, would overflow.
    return chance * min(1.0, 0.05 * 2.0 ** min(attempt, 10))
