"""One Redis connection whose replies are read as they come, for whoever reads all the time.

redis-py connects (TLS, authentication, Sentinel, Cluster), then the transport is ours. What the
replies mean is not known here. Why: docs/decisions/0001-pubsub-reader.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from service.redis_address import read_cluster, read_sentinel
from service.redis_cluster import follow_slot
from service.redis_names import DEFAULT, Names
from service.turns import Turn

FAULTS = (RedisError, OSError, hiredis.HiredisError, asyncio.IncompleteReadError)
"""What a Redis that is away, full or moving raises."""

Answer = TypeVar("Answer")

OnReplies = Callable[[hiredis.Reader], None]
"""Takes out of the reader what has arrived whole; a read is a batch."""


class RedisUnavailable(ConnectionError):
    """Redis did not take a command; the sender should try again."""


async def faults_of(pipe: Any, sentence: str) -> list[RedisUnavailable | None]:
    """Carry out a pipeline's commands, and say of each why Redis did not accept it."""
    count = len(pipe)
    try:
        answers = await pipe.execute(raise_on_error=False)
    except FAULTS as error:
        answers = [error] * count
    return [_unavailable(sentence, one) if isinstance(one, Exception) else None for one in answers]


def _unavailable(sentence: str, cause: Exception) -> RedisUnavailable:
    fault = RedisUnavailable(sentence)
    fault.__cause__ = cause
    return fault


def make_client(url: str, *, retries: int, names: Names = DEFAULT) -> Redis:
    """Make a client; nothing connects yet.

    With retries, within two seconds, for what may be done twice: after a restart of Redis every
    connection in the pool fails at its first use. Without, for what may not.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), retries),
    }
    cluster = read_cluster(url)
    if cluster is not None:
        return follow_slot(cluster, names.slot, **options)
    watched = read_sentinel(url)
    if watched is None:
        return Redis.from_url(url, **options)
    asking = {"password": watched.password, "ssl": watched.primary["ssl"], "socket_timeout": 2}
    make_sentinel: Any = Sentinel  # it carries no types
    sentinel = make_sentinel(watched.nodes, sentinel_kwargs=asking)
    primary: Redis = sentinel.master_for(watched.service, **watched.primary, **options)
    return primary


_PIECE_BYTES = 16 * 1024
"""What is handled at once, some hundred small messages."""


class Link(asyncio.Protocol):
    """The reading half of a connection, and raw writing.

    Replies are handled within the read's own callback: no task wakes up, and between two reads the
    loop serves the sockets.
    """

    def __init__(self, transport: asyncio.Transport, on_replies: OnReplies) -> None:
        self._transport = transport
        self._on_replies = on_replies
        self._parser = hiredis.Reader()
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()

    def send(self, *words: str | bytes | int) -> None:
        """Send a command; its reply comes like any other. Nothing happens once the link is lost."""
        if self._lost.done():
            return
        self._transport.write(hiredis.pack_command(words))  # type: ignore[arg-type]  # any length

    def send_together(self, *commands: tuple[str | bytes | int, ...]) -> None:
        """Send several commands in one write: Redis carries out nothing of others in between."""
        if not self._lost.done():
            self._transport.write(b"".join(map(hiredis.pack_command, commands)))  # type: ignore[arg-type]

    async def lost(self) -> None:
        """Wait until the connection is gone. Raises what ended it, ConnectionError if nothing did.

        An error of whoever takes the replies is raised here too.
        """
        await asyncio.shield(self._lost)  # who waits for a while only must not end the link

    async def answer(self, expected: asyncio.Future[Answer]) -> Answer:
        """Wait for what a reply completes. Raises what ended the connection before."""
        either: set[asyncio.Future[Any]] = {expected, self._lost}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not expected.done():
            await self.lost()
        return expected.result()

    def forget(self) -> None:
        """Want to hear no more, not of the end either."""
        if not self._lost.cancel() and not self._lost.cancelled():
            self._lost.exception()  # or asyncio logs it as never retrieved

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES:
            self._take(data)
        else:
            # libuv reads on, up to 32 times 256 KiB, before the loop turns: 120,000 small messages
            # at once froze a pod for over two seconds.
            self._transport.pause_reading()
            self._take_in_turns(data, 0)

    def _take_in_turns(self, data: bytes, start: int) -> None:
        """Take what was read, from `start` on; what does not fit into this turn, in the next."""
        turn = Turn()
        while start < len(data) and not self._lost.done():
            self._take(data[start : start + _PIECE_BYTES])
            start += _PIECE_BYTES
            if turn.is_over:
                self._loop.call_soon(self._take_in_turns, data, start)
                return
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _take(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            self._on_replies(self._parser)
        except Exception as error:  # noqa: BLE001 - carried to `lost`, whose caller it concerns
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(exc or ConnectionError("Redis closed the connection"))

    def fail(self, error: Exception) -> None:
        """Let whoever waits for the end of the link know that it is of no more use."""
        if not self._lost.done():
            self._lost.set_exception(error)


@asynccontextmanager
async def open_link(redis: Redis, on_replies: OnReplies) -> AsyncIterator[Link]:
    """Hold a connection of its own. Raises what FAULTS names."""
    pool: Any = redis.connection_pool  # its methods carry no types
    connection = await pool.get_connection()
    link: Link | None = None
    try:
        transport = transport_of(connection)
        link = Link(transport, on_replies)
        transport.set_protocol(link)
        yield link
    finally:
        if link is not None:
            link.forget()
        # Not fit for commands any more: the pool opens a fresh one when it needs it.
        await connection.disconnect(nowait=True)
        await pool.release(connection)


def transport_of(connection: AbstractConnection) -> asyncio.Transport:
    """Get at the transport of a redis-py connection; private, guarded by tests/contract.

    Raises ConnectionError where there is none any more.
    """
    writer = connection._writer
    if writer is None:
        raise ConnectionError("Redis closed the connection")
    return cast("asyncio.Transport", writer.transport)  # it reads too, whatever its type says


def backoff_seconds(attempt: int, chance: float) -> float:
    """Full jitter below a bound that doubles from 50 ms up to a second."""
    # Bounded before it is raised: the 1024th attempt, ten minutes without Redis, would overflow.
    return chance * min(1.0, 0.05 * 2.0 ** min(attempt, 10))
