"""One connection of the TCP port: reads, has each packet answered in order, and ends in time.

Who may come in, and who answers, is `nest_tcp`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.nest_framing import FrameDecoder, FramingError, FramingFault, Packet, read_packet

# Small: the loop turns once per read, and a flood of tiny events must not hold up the others.
_READ_BYTES = 16 * 1024
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


class Desk(Protocol):
    """Where packets are answered."""

    async def reply_to(self, packet: Packet) -> bytes | None:
        """Handle one packet; the frame to send back, or None where nobody waits for one."""


class TcpConnection:
    """One client: reads, has each packet handled in order, writes, until either side ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        desk: Desk,
        limits: TcpLimits,
        report: Callable[[Reason], None],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._desk = desk
        self._limits = limits
        self._report = report
        self._decoder = FrameDecoder(limits.max_frame_bytes)
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._waiting: asyncio.Timeout | None = None
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
            await self._hang_up()

    def stop(self) -> None:
        """End after the request in hand, or at once when there is none."""
        self._stopping.set()
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._loop.time())

    def cut_off(self) -> None:
        """End now, whatever is in hand."""
        self._writer.transport.abort()
        self.task.cancel()

    async def _converse(self) -> None:
        deadline, reason = self._loop.time() + self._limits.idle_seconds, CloseReason.IDLE
        while chunk := await self._read(deadline, reason):
            is_answered = False
            for text in self._decoder.feed(chunk):
                if self._stopping.is_set():
                    return
                await self._answer(text)
                is_answered = True
            # Only a whole frame buys more time: a byte now and then would hold on for ever.
            if is_answered:
                deadline, reason = self._loop.time() + self._limits.idle_seconds, CloseReason.IDLE
            if self._decoder.has_begun and reason is CloseReason.IDLE:
                due = self._loop.time() + self._limits.frame_seconds
                deadline, reason = min(deadline, due), CloseReason.SLOW_FRAME
            await asyncio.sleep(0)

    async def _read(self, deadline: float, reason: CloseReason) -> bytes:
        """What has come; empty when the client has ended it, is too late, or `stop` was called."""
        # The clock is asked here too: a read that finds bytes does not wait, so no timeout ends it.
        if self._loop.time() < deadline and not self._stopping.is_set():
            try:
                async with asyncio.timeout_at(deadline) as self._waiting:
                    return await self._reader.read(_READ_BYTES)
            except TimeoutError:
                pass
            finally:
                self._waiting = None
        if not self._stopping.is_set():
            self._report(reason)
        return b""

    async def _answer(self, text: bytes) -> None:
        if (reply := await self._desk.reply_to(read_packet(text))) is None:
            return
        if self._writer.is_closing():
            raise ConnectionResetError  # uvloop raises a RuntimeError on writing to a lost one
        self._writer.write(reply)
        try:  # waits only above the transport's write limit, 64 KiB
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            self._report(CloseReason.SLOW_READER)
            raise

    async def _hang_up(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one: the client does not read its last replies
            self._writer.transport.abort()
