"""One connection of the TCP port: reads, writes replies, and ends in time.

What is done with its packets is decided in `requests`, which connections are admitted in `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from constellation_ws.nest.framing import FrameDecoder, FramingError, FramingFault, read_packet
from constellation_ws.nest.requests import Desk, RequestsInHand
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue

_READ_BYTES = 16 * 1024
_REQUESTS_PER_TURN = 4
"""What one connection may begin in one turn: some 0.3 ms. One read holds 300 small requests:
four connections that send such reads kept everybody else waiting for 100 ms."""
_WRITE_LIMIT_BYTES = 64 * 1024
"""Above this asyncio's transports ask their writers to wait."""
FRAME_SECONDS = 10.0
"""How long a frame may take in production: a megabyte within a cluster takes a tenth of one."""


class CloseReason(StrEnum):
    """Why the gateway closed a connection, where no FramingFault says it."""

    TOO_MANY_CONNECTIONS = "too_many_connections"
    IDLE = "idle"
    SLOW_READER = "slow_reader"
    SLOW_FRAME = "slow_frame"
    TLS_HANDSHAKE = "tls_handshake"


Reason = CloseReason | FramingFault


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one client may take from the others."""

    max_frame_bytes: int
    """Of one JSON text; a longer one closes its connection as soon as its length is known."""
    idle_seconds: float
    """How long a connection may go without a complete frame, or a reply without being read."""
    frame_seconds: float
    """How long a frame that has begun may take: what there is of it is held in memory."""
    max_connections: int
    """Further ones are accepted and closed at once."""
    request_seconds: float
    """How long a request may take until it is answered as unavailable."""
    max_in_hand: int
    """Requests of one connection that are worked on at a time; then it is not read any further."""

    @property
    def max_bytes_in_hand(self) -> int:
        """What the requests of one connection may hold; then it is not read any further."""
        return 4 * self.max_frame_bytes


class TcpConnection:
    """One client: reads, has each packet handled, writes, until either side ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        desk: Desk,
        limits: TcpLimits,
        report: Callable[[Reason], None],
        spawn: Spawn,
        turns: TurnQueue,
    ) -> None:
        self._turns = turns
        self._reader, self._writer = reader, writer
        self._limits = limits
        self._report = report
        self._decoder = FrameDecoder(limits.max_frame_bytes)
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._in_hand = RequestsInHand(
            desk,
            spawn,
            ready=self._drain,
            write=self._write,
            request_seconds=limits.request_seconds,
            max_in_hand=limits.max_in_hand,
            max_bytes=limits.max_bytes_in_hand,
        )
        self._waiting: asyncio.Timeout | None = None
        self._heard_at = self._loop.time()
        """When the last whole frame came."""
        self._frame_due: float | None = None
        """Until when the frame that has begun must be whole."""
        self._is_too_slow = False
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Return when it is closed. What was answered is delivered, to a client that reads."""
        try:
            await self._converse()
        except FramingError as error:
            self._report(error.fault)
        except OSError:
            pass  # the client has gone, and knows
        finally:
            await self._in_hand.finished()
            await self._hang_up()

    def stop(self) -> None:
        """End after the requests in hand, or at once when there is none."""
        self._stopping.set()
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._loop.time())

    def cut_off(self) -> None:
        """End now, whatever is in hand."""
        self._writer.transport.abort()
        self._in_hand.cancel()
        self.task.cancel()

    async def _converse(self) -> None:
        while chunk := await self._read():
            for begun, text in enumerate(self._decoder.feed(chunk), 1):
                if begun % _REQUESTS_PER_TURN == 0:
                    await self._turns.wait()  # what each begins runs in the next turn of the loop
                await self._in_hand.room()
                if self._stopping.is_set():
                    return
                self._in_hand.begin(read_packet(text), len(text))
                self._heard_at, self._frame_due = self._loop.time(), None
            # Only a whole frame buys more time: single bytes must not keep it open.
            if self._decoder.has_begun and self._frame_due is None:
                seconds = min(self._limits.frame_seconds, self._limits.idle_seconds)
                self._frame_due = self._loop.time() + seconds
            await self._turns.wait()

    async def _read(self) -> bytes:
        """What has come; empty when the client has ended it, is too late, or `stop` was called."""
        while not self._stopping.is_set():
            deadline, reason = self._deadline()
            # The clock is asked here too: a read that finds bytes does not wait, so no timeout ends
            # it.
            if self._loop.time() >= deadline:
                self._report(reason)
                break
            try:
                async with asyncio.timeout_at(deadline) as self._waiting:
                    return await self._reader.read(_READ_BYTES)
            except TimeoutError:
                pass  # it may have got more time meanwhile
            finally:
                self._waiting = None
        return b""

    def _deadline(self) -> tuple[float, CloseReason]:
        if self._frame_due is not None:
            return self._frame_due, CloseReason.SLOW_FRAME
        # The time of a request does not count as silence of its client.
        quiet_since = self._loop.time() if self._in_hand else self._in_hand.quiet_since
        return max(quiet_since, self._heard_at) + self._limits.idle_seconds, CloseReason.IDLE

    def _write(self, reply: bytes) -> None:
        if not self._writer.is_closing():  # uvloop raises a RuntimeError on writing to a lost one
            self._writer.write(reply)

    async def _drain(self) -> None:
        """Wait while more is unread than the transport's write limit, 64 KiB. Raises OSError."""
        self._check_open()
        if self._writer.transport.get_write_buffer_size() > _WRITE_LIMIT_BYTES:
            await asyncio.sleep(0)  # uvloop writes, and finds out that it cannot, after the turn
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            if not self._is_too_slow:  # others wait with it
                self._is_too_slow = True
                self._report(CloseReason.SLOW_READER)
            raise
        self._check_open()  # a connection that was aborted meanwhile ends the wait as well

    def _check_open(self) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError

    async def _hang_up(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one: the client does not read its last replies
            self._writer.transport.abort()
