"""The TCP port for NestJS clients (`Transport.TCP`): connections, their limits and their order.

Knows no pattern and no Redis: handlers come as values. What the bytes mean is `nest_framing`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from service.nest_framing import (
    FrameDecoder,
    FramingError,
    FramingFault,
    Packet,
    answer,
    failure,
    no_message_handler,
    read_packet,
)

Handler = Callable[[bytes], Awaitable[object]]
"""Takes the raw JSON of `data` and returns the whole response, a value that msgspec can encode."""

UNKNOWN_PATTERN = "unknown"
"""The metrics' label for any pattern without a handler: clients must not make labels."""

# Small: the loop turns once per read, and a flood of tiny events must not hold up the others.
_READ_BYTES = 16 * 1024

_log = structlog.get_logger(__name__)


class PortUnavailable(OSError):
    """The port cannot be listened on; `str()` is a sentence that names the settings."""


class RequestRefused(Exception):
    """Raised by a handler: the request is at fault, not the gateway. Answered, never logged."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def response(self) -> dict[str, object]:
        """What the client gets: a value that says no, nothing that its observable raises."""
        error = {"code": self.code, "message": self.message}
        return {"success": False, "error": error, "message": self.message}


class Outcome(StrEnum):
    """How a request or event went."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN_PATTERN = "unknown_pattern"


class CloseReason(StrEnum):
    """Why the gateway closed a connection, where no FramingFault says it."""

    TOO_MANY_CONNECTIONS = "too_many_connections"
    IDLE = "idle"
    SLOW_READER = "slow_reader"


Reason = CloseReason | FramingFault


class TcpMetrics(Protocol):
    """What the door reports. Called on the event loop; must not wait or raise."""

    def connection_opened(self) -> None: ...
    def connection_closed(self) -> None: ...

    def request(self, pattern: str, outcome: str, seconds: float) -> None:
        """One request or event; `pattern` is a handler's name or UNKNOWN_PATTERN."""

    def refused(self, reason: str) -> None:
        """One connection closed by us: the value of a CloseReason or FramingFault."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one client may take from the others."""

    max_frame_bytes: int
    """Of one JSON text; a longer one closes its connection as soon as its length is known."""
    idle_seconds: float
    """How long a connection may go without a complete frame, or a reply without being read."""
    max_connections: int
    """Further ones are accepted and closed at once."""


class NestTcp:
    """The listening port. Lives from `start` to `aclose`."""

    def __init__(
        self, handlers: Mapping[str, Handler], metrics: TcpMetrics, limits: TcpLimits
    ) -> None:
        self._desk = _Desk(handlers, metrics)
        self._metrics, self._limits = metrics, limits
        self._server: asyncio.Server | None = None
        self._closing = False
        self._open: set[_Connection] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises PortUnavailable."""
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as error:
            reason = error.strerror or error
            sentence = f"Cannot listen on {host}:{port} (TCP_HOST, TCP_PORT): {reason}."
            raise PortUnavailable(sentence) from error

    @property
    def port(self) -> int:
        """The port that is listened on. Only between `start` and `aclose`."""
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    async def aclose(self, grace_seconds: float = 5.0) -> None:
        """Stop accepting, let each connection answer the request in hand, and close it.

        What has not ended after `grace_seconds` is cut off. Returns when every connection is gone.
        """
        self._closing = True
        if self._server is None:
            return  # it never began
        self._server.close()
        for connection in self._open:
            connection.stop()
        await self._wait_until_gone(grace_seconds)
        for connection in self._open:
            connection.cut_off()
        await self._wait_until_gone(None)
        await self._server.wait_closed()

    async def _wait_until_gone(self, timeout: float | None) -> None:
        if tasks := {connection.task for connection in self._open}:
            await asyncio.wait(tasks, timeout=timeout)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, in the task that asyncio made for it."""
        report = partial(self._report, writer.get_extra_info("peername"))
        if self._closing:
            writer.close()
        elif len(self._open) >= self._limits.max_connections:
            report(CloseReason.TOO_MANY_CONNECTIONS)
            writer.close()
        else:
            await self._hold(_Connection(reader, writer, self._desk, self._limits, report))

    async def _hold(self, connection: _Connection) -> None:
        self._open.add(connection)
        self._metrics.connection_opened()
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass  # cut off; the task ends here, and Python 3.11 reports a cancelled one as an error
        finally:
            self._open.discard(connection)
            self._metrics.connection_closed()

    def _report(self, peer: object, reason: Reason) -> None:
        self._metrics.refused(reason)
        log = _log.info if reason is CloseReason.IDLE else _log.warning  # quiet is no fault
        log("tcp connection closed", reason=reason.value, peer=peer)


class _Desk:
    """Where packets are answered: the handlers, and the boundary around them."""

    def __init__(self, handlers: Mapping[str, Handler], metrics: TcpMetrics) -> None:
        self._handlers, self._metrics = handlers, metrics

    async def reply_to(self, packet: Packet) -> bytes | None:
        """Handle one packet; the frame to send back, or None where nobody waits for one."""
        started = time.perf_counter()
        handler = self._handlers.get(packet.pattern or "")
        label = UNKNOWN_PATTERN if handler is None else str(packet.pattern)
        reply, outcome = await self._ask(handler, packet)
        self._metrics.request(label, outcome, time.perf_counter() - started)
        return reply if packet.id is not None else None

    async def _ask(self, handler: Handler | None, packet: Packet) -> tuple[bytes, Outcome]:
        packet_id = packet.id or b"null"
        if handler is None:
            return no_message_handler(packet_id), Outcome.UNKNOWN_PATTERN
        try:
            try:
                response, outcome = await handler(packet.data), Outcome.OK
            except RequestRefused as refusal:
                response, outcome = refusal.response(), Outcome.REFUSED
            return answer(packet_id, response), outcome
        except Exception:  # noqa: BLE001 - the boundary around handlers: one request fails, not all
            _log.exception("tcp request failed", pattern=packet.pattern)
            return failure(packet_id), Outcome.FAILED


class _Connection:
    """One client: reads, has each packet handled in order, writes, until either side ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        desk: _Desk,
        limits: TcpLimits,
        report: Callable[[Reason], None],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._desk = desk
        self._idle_seconds = limits.idle_seconds
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
        deadline = self._loop.time() + self._idle_seconds
        while chunk := await self._read(deadline):
            for text in self._decoder.feed(chunk):
                if self._stopping.is_set():
                    return
                await self._answer(text)
                # Only a whole frame buys more time: a byte now and then would hold on for ever.
                deadline = self._loop.time() + self._idle_seconds
            await asyncio.sleep(0)

    async def _read(self, deadline: float) -> bytes:
        """What has come; empty when the client has ended it, is idle, or `stop` was called."""
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
            self._report(CloseReason.IDLE)
        return b""

    async def _answer(self, text: bytes) -> None:
        if (reply := await self._desk.reply_to(read_packet(text))) is None:
            return
        if self._writer.is_closing():
            raise ConnectionResetError  # uvloop raises a RuntimeError on writing to a lost one
        self._writer.write(reply)
        try:  # waits only above the transport's write limit, 64 KiB
            async with asyncio.timeout(self._idle_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            self._report(CloseReason.SLOW_READER)
            raise

    async def _hang_up(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one: the client does not read its last replies
            self._writer.transport.abort()
