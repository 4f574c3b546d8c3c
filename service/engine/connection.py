"""One WebSocket: a client's bytes in, frames out, and its two handshakes with Engine.IO.

RFC 6455 is `service.websocket`'s; what the packets mean is `server`'s.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import TYPE_CHECKING

from service.websocket import (
    Close,
    CloseCode,
    Failure,
    Parser,
    Ping,
    Received,
    binary_frame,
    close_frame,
    pong_frame,
    text_frame,
)

if TYPE_CHECKING:
    from service.engine.server import Engine
    from service.engine.session import Session

_PROBE, _PROBE_ANSWER, _UPGRADE, _NOOP = "2probe", text_frame(b"3probe"), "5", "6"


class WebSocketConnection(asyncio.Protocol):
    """A WebSocket after its HTTP handshake. It carries a session, or probes to carry one."""

    __slots__ = ("_engine", "_parser", "_said_close", "_session", "_transport")

    def __init__(self, engine: Engine, transport: asyncio.Transport) -> None:
        self._engine = engine
        self._transport = transport
        self._parser = Parser(engine.limits.max_payload_bytes)
        self._session: Session | None = None
        self._said_close = False
        # Above this the transport calls `pause_writing`: no check is needed at each write.
        transport.set_write_buffer_limits(high=engine.limits.max_write_buffer_bytes)

    def carry(self, session: Session) -> None:
        """Be the transport of a session from now on."""
        self._session = session
        session.websocket, session.write = self, self._transport.write

    def probe(self, session: Session) -> None:
        """Begin to take a session over from long-polling."""
        self._session = session
        session.upgrading = True

    def give_up_probe(self) -> None:
        """End a probe that has not led to an upgrade; the session goes on polling."""
        if self._is_probing():
            self.close(CloseCode.POLICY_VIOLATION, "no upgrade")

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        for message in self._parser.feed(data):
            session = self._session
            if type(message) is str and session is not None and session.websocket is self:
                if not session.closed:
                    self._engine.hear(session, message)
            else:
                self._take_other(message)

    def eof_received(self) -> None:
        """Let the transport close: half a WebSocket is none."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._engine.has_closed(self)
        session, self._session = self._session, None
        if session is None:
            return
        if session.websocket is self:
            self._engine.lose(session, self._engine.reason.TRANSPORT_CLOSE)
        else:
            session.upgrading = False

    def pause_writing(self) -> None:
        if self._session is not None:
            self._engine.drop_slow(self._session)

    def resume_writing(self) -> None:
        """Nothing to resume: who was paused is gone."""

    # What a session calls

    def write(self, data: bytes) -> None:
        """Send ready frames."""
        self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and wait a little for the answer.

        Hanging up at once would let the kernel answer the client's last bytes with a reset, which
        may overtake what was sent to it before.
        """
        if self._said_close:
            return
        self._said_close = True
        self._transport.write(close_frame(code, reason))
        self._engine.await_closing(self)

    def abort(self) -> None:
        """Hang up without sending what still waits."""
        self._transport.abort()

    def is_flushed(self) -> bool:
        """Tell whether the kernel has taken all that was sent."""
        return not self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Let the client wait."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Hear the client again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What a client says besides text packets

    def _take_other(self, message: Received) -> None:
        if isinstance(message, Ping):
            if not self._said_close:
                self._transport.write(pong_frame(message.payload))
        elif isinstance(message, Close):
            if not self._said_close:
                self._transport.write(close_frame(message.code))
            self._transport.close()
        elif isinstance(message, Failure):
            self._fail(message)
        elif self._is_probing():
            self._take_probe(message)
        elif isinstance(message, bytes) and self._session is not None and not self._session.closed:
            self._engine.receive(self._session, message)

    def _fail(self, failure: Failure) -> None:
        session = self._session
        if session is not None and session.websocket is self:
            self._engine.end(session, "parse error", failure.code)
        else:
            self.close(failure.code, failure.reason)

    def _is_probing(self) -> bool:
        return self._session is not None and self._session.websocket is not self

    def _take_probe(self, message: Received) -> None:
        session = self._session
        assert session is not None, "asked before"
        if session.closed or self._said_close:
            self._transport.close()
        elif message == _PROBE:
            self._transport.write(_PROBE_ANSWER)
            session.queue(_NOOP)  # ends the poll that waits, so that the client can pause polling
        elif message == _UPGRADE:
            self._take_over(session)
        else:
            session.upgrading = False
            self._session = None
            self.close(CloseCode.PROTOCOL_ERROR, "no upgrade")

    def _take_over(self, session: Session) -> None:
        """Move a session here, with what has waited for its next poll, in order."""
        waiting = [packet for packet in session.take_outbox() if packet != _NOOP]
        session.upgrading = False
        self.carry(session)
        session.wake_poll()
        for packet in waiting:
            self._transport.write(_reframe(packet))


def _reframe(packet: str) -> bytes:
    """Turn a packet in polling's encoding into a WebSocket frame."""
    if packet.startswith("b"):
        return binary_frame(b64decode(packet[1:]))
    return text_frame(packet.encode())
