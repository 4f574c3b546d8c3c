"""The TCP port for NestJS clients (`Transport.TCP`): who may come in, and who answers.

Knows no pattern and no Redis: handlers come as values. What a connection does once it is held is
`connection`'s, what the bytes mean `framing`'s.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from constellation_ws.nest.connection import CloseReason, Reason, TcpConnection, TcpLimits
from constellation_ws.nest.framing import Packet, answer, failure, no_message_handler
from constellation_ws.runtime.listening import PortUnavailable, bound
from constellation_ws.runtime.spawning import Spawn
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.services.refusals import RequestRefused
from constellation_ws.tls import handshake as tls

Handler = Callable[[bytes], Awaitable[object]]
"""Takes the raw JSON of `data` and returns the whole response, a value that msgspec can encode."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is done for a pattern."""

    handle: Handler
    """Begun in the order of the packets. What it sends must keep that order, however long it waits
    then: it gives that away before it first waits."""
    is_question: bool = True
    """Whether it changes nothing. Questions wait until the client has read enough answers."""


UNKNOWN_PATTERN = "unknown"
"""The metrics' label for any pattern without a handler: clients must not make labels."""

_VARIABLES = "TCP_HOST, TCP_PORT"
logger = structlog.get_logger(__name__)


class RequestOutcome(StrEnum):
    """How a request or event went."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNKNOWN_PATTERN = "unknown_pattern"


class TcpMetrics(Protocol):
    """What the port reports. Called on the event loop; must not wait or raise."""

    def connection_opened(self) -> None: ...
    def connection_closed(self) -> None: ...

    def request(self, pattern: str, outcome: str, seconds: float) -> None:
        """One request or event; `pattern` is a handler's name or UNKNOWN_PATTERN."""

    def refused(self, reason: str) -> None:
        """One connection closed by us: the value of a CloseReason or FramingFault."""


class NestTcp:
    """The listening port. Lives from `start` to `aclose`."""

    def __init__(
        self,
        patterns: Mapping[str, Pattern],
        metrics: TcpMetrics,
        limits: TcpLimits,
        spawn: Spawn,
        turns: TurnQueue,
        secured: tls.ServerTls | None = None,
    ) -> None:
        """Without `secured` the port speaks plainly, and to everybody who reaches it."""
        self._desk = _Desk(patterns, metrics)
        self._metrics, self._limits, self._tls = metrics, limits, secured
        self._spawn = spawn
        self._turns = turns
        self._servers: list[asyncio.Server] = []
        self._closing = False
        self._open: set[TcpConnection] = set()
        self._shaking_hands: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises PortUnavailable, also for unusable TLS files."""
        if self._tls is not None:
            try:
                self._tls.context()  # now, rather than with the first client
            except OSError as error:
                raise PortUnavailable(host, port, _VARIABLES, error) from error
        for listener in bound(host, port, _VARIABLES):
            if self._tls is None:
                server = await asyncio.start_server(self._accept, sock=listener)
            else:
                server = await tls.start_server(self._accept_secured, listener)
            self._servers.append(server)

    @property
    def port(self) -> int:
        """The port that is listened on. Only between `start` and `aclose`."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def aclose(self, grace_seconds: float = 5.0) -> None:
        """Stop accepting, let each connection answer the requests in hand, and close it.

        What has not ended after `grace_seconds` is cut off. Returns when every connection is gone.
        """
        self._closing = True
        for server in self._servers:
            server.close()
        for task in self._shaking_hands:
            task.cancel()
        for connection in self._open:
            connection.stop()
        await self._wait_until_gone(grace_seconds)
        for connection in self._open:
            connection.cut_off()
        await self._wait_until_gone(None)
        for server in self._servers:
            await server.wait_closed()

    async def _wait_until_gone(self, timeout: float | None) -> None:
        if tasks := {connection.task for connection in self._open} | self._shaking_hands:
            await asyncio.wait(tasks, timeout=timeout)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, in the task that asyncio made for it."""
        await self._turns.wait()  # who is refused may come again at once
        report = partial(self._report, writer.get_extra_info("peername"))
        if self._may_enter(report):
            await self._hold((reader, writer), report)
        else:
            writer.close()

    async def _accept_secured(self, connection: socket.socket) -> None:
        """The same where TLS comes first."""
        await self._turns.wait()
        report = partial(self._report, _peer(connection))
        if not self._may_enter(report):
            connection.close()
        elif (streams := await self._shake_hands(connection, report)) is not None:
            await self._hold(streams, report)

    def _may_enter(self, report: Callable[[Reason], None]) -> bool:
        if self._closing:
            return False
        if len(self._open) + len(self._shaking_hands) < self._limits.max_connections:
            return True
        report(CloseReason.TOO_MANY_CONNECTIONS)
        return False

    async def _shake_hands(
        self, connection: socket.socket, report: Callable[[Reason], None]
    ) -> tls.Streams | None:
        """Begin TLS; None where that fails, or the port closes meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        assert self._tls is not None, "else nothing is accepted here"
        self._shaking_hands.add(task)
        try:
            return await tls.begin(connection, self._tls.context())
        except OSError:
            report(CloseReason.TLS_HANDSHAKE)
        except asyncio.CancelledError:
            pass  # the port closes; as in `_hold`
        finally:
            self._shaking_hands.discard(task)
        return None

    async def _hold(self, streams: tls.Streams, report: Callable[[Reason], None]) -> None:
        connection = TcpConnection(
            *streams, self._desk, self._limits, report, self._spawn, self._turns
        )
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
        report = logger.info if reason is CloseReason.IDLE else logger.warning  # quiet is no fault
        report("tcp connection closed", reason=reason.value, peer=peer)


def _peer(connection: socket.socket) -> object:
    try:
        return connection.getpeername()
    except OSError:
        return None  # it has gone already


class _Desk:
    """Where packets are answered: the handlers, and the boundary around them."""

    def __init__(self, patterns: Mapping[str, Pattern], metrics: TcpMetrics) -> None:
        self._patterns, self._metrics = patterns, metrics

    def is_question(self, packet: Packet) -> bool:
        """Say whether a packet changes nothing; its answer may be large."""
        pattern = self._patterns.get(packet.pattern or "")
        return packet.id is not None and (pattern is None or pattern.is_question)

    async def reply_to(self, packet: Packet, seconds_before: float) -> bytes | None:
        """Handle one packet, which has waited before; the frame to send back, None for an event."""
        started = time.perf_counter()
        reply, outcome = await self._ask(packet)
        seconds = seconds_before + time.perf_counter() - started
        self._metrics.request(self._label(packet), outcome, seconds)
        return reply if packet.id is not None else None

    def overdue(self, packet: Packet, seconds: float) -> bytes:
        """Give up one request after so long; the frame to send back."""
        self._metrics.request(self._label(packet), RequestOutcome.TIMEOUT, seconds)
        sentence = f"timed out after {seconds:.0f} s; it may still be executed"
        refusal = RequestRefused("unavailable", sentence)
        return answer(packet.id or b"null", _response(refusal))

    def _label(self, packet: Packet) -> str:
        return str(packet.pattern) if packet.pattern in self._patterns else UNKNOWN_PATTERN

    async def _ask(self, packet: Packet) -> tuple[bytes, RequestOutcome]:
        packet_id = packet.id or b"null"
        pattern = self._patterns.get(packet.pattern or "")
        if pattern is None:
            return no_message_handler(packet_id), RequestOutcome.UNKNOWN_PATTERN
        try:
            try:
                response, outcome = await pattern.handle(packet.data), RequestOutcome.OK
            except RequestRefused as refusal:
                if packet.id is None:  # nobody gets the refusal as an answer
                    logger.warning(
                        "tcp event dropped",
                        pattern=packet.pattern,
                        code=refusal.code,
                        reason=refusal.message,
                    )
                response, outcome = _response(refusal), RequestOutcome.REFUSED
            return answer(packet_id, response), outcome
        except Exception:  # the boundary around handlers: one request fails, not all
            logger.exception("tcp request failed", pattern=packet.pattern)
            return failure(packet_id), RequestOutcome.FAILED


def _response(refusal: RequestRefused) -> dict[str, object]:
    """Give what the client gets: a value that says no, nothing that its observable raises."""
    error = {"code": refusal.code, "message": refusal.message}
    return {"success": False, "error": error, "message": refusal.message}
