"""One WebSocket: a client's bytes in, frames out, and its two handshakes with Engine.IO.

RFC 6455 is `constellation_ws.websocket`'s; what the packets mean is `server`'s.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Protocol

import engineio

from constellation_ws.engine.limits import EngineLimits
from constellation_ws.engine.observer import Observer
from constellation_ws.engine.session import NOOP, Session, UpgradeProbe
from constellation_ws.engine.slow import SlowConsumers
from constellation_ws.http.bounded_reading import BoundedReading
from constellation_ws.websocket import (
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

_TRANSPORT_CLOSE = engineio.AsyncServer.reason.TRANSPORT_CLOSE
MAX_UNUSED_LOAD = 100
"""What a connection may send that carries no open session. A probe needs two packets, some clients
ping besides, and a closing handshake is one frame."""
_PROBE, _PROBE_ANSWER, _UPGRADE = "2probe", text_frame(b"3probe"), "5"


class ConnectionHost(Protocol):
    """What a connection needs of the engine whose sessions it carries."""

    limits: EngineLimits
    slow: SlowConsumers[Session]
    observer: Observer

    def count_packets(self, session: Session, packets: int) -> bool:
        """Take note that a client has sent so much; False when that is too much: it is closed."""

    def receive_packet(self, session: Session, packet: str) -> None:
        """Take one text packet of an open session."""

    def receive_message(self, session: Session, data: bytes) -> None:
        """Have a message handled."""

    def remove(self, session: Session, reason: str) -> None:
        """Forget a session whose transport is gone or of no more use."""

    def add_pending_close(self, connection: WebSocketConnection) -> None:
        """Give a client some time to answer our closing handshake."""

    def has_upgraded(self, connection: WebSocketConnection) -> None:
        """Take note that a connection is done with probing."""

    def has_closed(self, connection: WebSocketConnection) -> None:
        """Take note that a connection is gone."""


class WebSocketConnection(BoundedReading):
    """A WebSocket after its HTTP handshake. It carries a session, or probes to carry one."""

    __slots__ = ("_engine", "_parser", "_sent_close_code", "_session", "_unused_load")

    def __init__(self, engine: ConnectionHost, transport: asyncio.Transport) -> None:
        self.begin_reading(transport)
        self._engine = engine
        self._parser = Parser(engine.limits.max_payload_bytes)
        self._session: Session | None = None
        self._sent_close_code: int | None = None
        """The code of our Close frame, once it is written."""
        self._unused_load = 0
        # Above this the transport calls `pause_writing`, and `resume_writing` when it is below
        # again: in between writes are checked, and never else.
        bound = engine.limits.max_write_buffer_bytes
        transport.set_write_buffer_limits(high=bound, low=bound)

    def carry(self, session: Session) -> None:
        """Be the transport of a session from now on."""
        self._session = session
        session.websocket, session.write = self, self._transport.write

    def probe(self, session: Session) -> None:
        """Begin to take a session over from long-polling."""
        self._session = session
        session.upgrade_probe = UpgradeProbe.SILENT

    def close_probe(self) -> None:
        """End a probe that has not led to an upgrade; the session goes on polling."""
        if self._is_probing():
            self.close(CloseCode.POLICY_VIOLATION, "no upgrade")

    # What asyncio calls

    def parse(self, piece: bytes) -> int:
        """Take the next bytes of the client."""
        messages = self._parser.feed(piece)
        load = self._parser.load
        if self._count_load(load):
            self._receive(messages)
        else:
            self.stop_reading()  # its goodbye is not worth the rest of the flood
        return load

    def _count_load(self, load: int) -> bool:
        """Count what a client sends; too much ends its session, or the probe alone."""
        session = self._session
        if session is not None and session.websocket is self:
            return self._engine.count_packets(session, load)
        self._unused_load += load
        if self._unused_load <= MAX_UNUSED_LOAD:
            return True
        self.abort()
        return False

    def _receive(self, messages: list[Received]) -> None:
        pongs: list[bytes] = []
        for message in messages:
            if type(message) is Ping:
                pongs.append(pong_frame(message.payload))
                continue
            if pongs:
                self._write_pongs(pongs)
            session = self._session
            if type(message) is str and session is not None and session.websocket is self:
                if not session.closed:
                    self._engine.receive_packet(session, message)
            else:
                self._receive_other(message)
        if pongs:
            self._write_pongs(pongs)

    def eof_received(self) -> None:
        """Hang up: half a WebSocket is none."""
        self._close_transport()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_parsing()
        self._engine.has_closed(self)
        session, self._session = self._session, None
        if session is None:
            return
        if session.websocket is self:
            self._engine.remove(session, _TRANSPORT_CLOSE)
        else:
            session.upgrade_probe = UpgradeProbe.NONE

    def pause_writing(self) -> None:
        """Watch a client for which much waits; one that has said goodbye has its time anyway."""
        session = self._session
        if session is None or self._is_probing():
            self.abort()
        elif not session.closed:
            session.write = self._write_watched
            self._engine.slow.note(session, 0)

    def resume_writing(self) -> None:
        """Trust the client again: it has taken what was too much."""
        session = self._session
        if session is not None and session.strain is not None:
            self._engine.slow.release(session)
            if session.write is not None:
                session.write = self._transport.write

    def _write_watched(self, data: bytes) -> None:
        self._transport.write(data)
        if self._session is not None and not self._session.closed:
            self._engine.slow.note(self._session, len(data))

    # What a session calls

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and wait a little for the answer.

        Hanging up at once would let the kernel answer the client's last bytes with a reset, which
        may overtake what was sent to it before.
        """
        if self._sent_close_code is not None:
            return
        self._sent_close_code = code
        self._transport.write(close_frame(code, reason))
        self._engine.add_pending_close(self)

    def abort(self) -> None:
        """Hang up without sending what still waits."""
        self._transport.abort()

    def is_flushed(self) -> bool:
        """Tell whether the kernel has taken all that was sent."""
        return not self._transport.get_write_buffer_size()

    def waiting_bytes(self) -> int:
        """Tell how much of what was sent the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def is_between_messages(self) -> bool:
        """Tell whether all that has been read is parsed, and no message has begun."""
        return self.has_parsed_all() and self._parser.is_between_messages

    def detach(self) -> None:
        """Carry the session no more: it goes on elsewhere, with the same client."""
        self._session = None
        self.stop_parsing()

    # What a client says besides text packets

    def _write_pongs(self, pongs: list[bytes]) -> None:
        """Answer pings in a row in one write: a flood of them costs a system call each."""
        if self._sent_close_code is None:
            session = self._session
            is_watched = session is not None and session.strain is not None
            write = self._write_watched if is_watched else self._transport.write
            write(b"".join(pongs))
        pongs.clear()

    def _receive_other(self, message: Received) -> None:
        if isinstance(message, Close):
            if self._sent_close_code is None:
                self._sent_close_code = message.code
                self._transport.write(close_frame(message.code))
            elif message.code == self._sent_close_code and self._session is not None:
                # An answer repeats our code: all that was written before has arrived. Another code
                # is the client's own close, which has crossed ours, and proves nothing.
                self._engine.observer.close_answered(self._session.sid)
            self._close_transport()
        elif isinstance(message, Failure):
            self._close_on_failure(message)
        elif isinstance(message, str | bytes) and self._session is not None:
            if self._is_probing():
                self._receive_probe(message)
            elif isinstance(message, bytes) and not self._session.closed:
                self._engine.receive_message(self._session, message)

    def _close_on_failure(self, failure: Failure) -> None:
        self.close(failure.code, failure.reason)
        self._remove_session("parse error")
        self.stop_parsing()
        if not self._transport.is_closing():
            # The client's goodbye will not be understood: its end of the stream will be.
            self._transport.write_eof()

    def _close_transport(self) -> None:
        """Close as soon as all is sent, if that is within the time that a goodbye has."""
        self._remove_session(_TRANSPORT_CLOSE)
        self._engine.add_pending_close(self)
        self._transport.close()

    def _remove_session(self, reason: str) -> None:
        if self._session is not None and self._session.websocket is self:
            self._engine.remove(self._session, reason)

    def _is_probing(self) -> bool:
        return self._session is not None and self._session.websocket is not self

    def _receive_probe(self, message: str | bytes) -> None:
        session = self._session
        assert session is not None, "asked before"
        if session.closed or self._sent_close_code is not None:
            self._close_transport()
        elif message == _PROBE:
            self._transport.write(_PROBE_ANSWER)
            session.upgrade_probe = UpgradeProbe.ANSWERED
            session.queue(NOOP)  # ends the poll that waits, so that the client can pause polling
        elif message == _UPGRADE:
            self.upgrade(session)
        else:
            session.upgrade_probe = UpgradeProbe.NONE
            self._session = None
            self.close(CloseCode.PROTOCOL_ERROR, "no upgrade")

    def upgrade(self, session: Session) -> None:
        """Carry a session that has polled, with the packets that waited for its next poll."""
        waiting = [_reframe(packet) for packet in session.pop_outbox() if packet != NOOP]
        session.upgrade_probe = UpgradeProbe.NONE
        self._engine.has_upgraded(self)
        self.carry(session)
        session.wake_poll()
        if waiting:
            self._transport.write(b"".join(waiting))


def _reframe(packet: str) -> bytes:
    """Turn a packet in polling's encoding into a WebSocket frame."""
    if packet.startswith("b"):
        return binary_frame(b64decode(packet[1:]))
    return text_frame(packet.encode())
