"""One WebSocket of a client, and what it carries: an Engine.IO session, or a probe for one.

RFC 6455 is in `constellation_ws.websocket`; what packets mean is in `server`.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode

import engineio

from constellation_ws.engine.connection_host import ConnectionHost
from constellation_ws.engine.session import NOOP, EngineSession, UpgradeProbe
from constellation_ws.http.bounded_reading import BoundedReading
from constellation_ws.runtime import direct
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
"""Frames that a connection without an open session may send. A probe needs two packets, some
clients also ping, and a closing handshake is one frame."""
_PROBE, _PROBE_ANSWER, _UPGRADE = "2probe", text_frame(b"3probe"), "5"


class WebSocketConnection(BoundedReading):
    """A WebSocket after its HTTP handshake."""

    __slots__ = (
        "_descriptor",
        "_engine",
        "_parser",
        "_sent_close_code",
        "_session",
        "_unused_load",
    )

    def __init__(self, engine: ConnectionHost, transport: asyncio.Transport) -> None:
        self.begin_reading(transport, engine.turns)
        self._engine = engine
        self._parser = Parser(engine.limits.max_payload_bytes)
        self._session: EngineSession | None = None
        self._sent_close_code: int | None = None
        """Code of our Close frame, once it is written."""
        self._unused_load = 0
        self._descriptor = direct.descriptor_of(transport)
        # Above this bound the transport calls `pause_writing`, below it `resume_writing`. Only in
        # between are writes checked. Who writes past a transport must know of its first byte.
        bound = 0 if self._is_direct() else engine.limits.max_write_buffer_bytes
        transport.set_write_buffer_limits(high=bound, low=bound)

    def carry(self, session: EngineSession) -> None:
        """Become the transport of a session."""
        self._session = session
        session.websocket = self
        self._write_freely(session)
        if self._is_direct() and self._transport.get_write_buffer_size():
            self.pause_writing()  # called before, on whom the transport had then

    def probe(self, session: EngineSession) -> None:
        """Begin the upgrade of a session that polls."""
        self._session = session
        session.upgrade_probe = UpgradeProbe.SILENT

    def close_probe(self) -> None:
        """Close a connection that still probes; the session continues to poll."""
        if self._is_probing():
            self.close(CloseCode.POLICY_VIOLATION, "no upgrade")

    # What asyncio calls

    def parse(self, piece: bytes) -> int:
        """Handle the next bytes of the client; return how many frames they count as."""
        messages = self._parser.feed(piece)
        load = self._parser.load
        if self._count_load(load):
            self._receive(messages)
        else:
            self.stop_reading()  # its Close frame may be behind a flood that would have to be read
        return load

    def _count_load(self, load: int) -> bool:
        """Count what a client sends. If it is too much, close its session, or only the probe."""
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
        is_alone = len(messages) == 1
        for message in messages:
            if type(message) is Ping:
                pongs.append(pong_frame(message.payload))
                continue
            if pongs:
                self._write_pongs(pongs)
            session = self._session
            if type(message) is str and session is not None and session.websocket is self:
                if not session.closed:
                    self._engine.receive_packet(session, message, is_alone=is_alone)
            else:
                self._receive_other(message)
        if pongs:
            self._write_pongs(pongs)

    def close_at_end(self) -> None:
        """Close: a WebSocket cannot be half-closed."""
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
        """Check each write from now on, as something is buffered."""
        session = self._session
        if session is not None and session.write is not None:
            session.write, session.descriptor = self._write_checked, direct.NOT_DIRECT
        self._check_buffer(0)

    def resume_writing(self) -> None:
        """Write without checks: what was buffered is sent."""
        session = self._session
        if session is not None and not self._is_probing():
            self._engine.slow.release(session)
            if session.write is not None:
                self._write_freely(session)

    def _write_freely(self, session: EngineSession) -> None:
        session.write, session.descriptor = self._transport.write, self._descriptor

    def _write_checked(self, data: bytes) -> None:
        self._transport.write(data)
        self._check_buffer(len(data))

    def _check_buffer(self, added_bytes: int) -> None:
        """Watch a client for which too much is buffered. A closed session has its own timeout."""
        session = self._session
        is_above = self.waiting_bytes() > self._engine.limits.max_write_buffer_bytes
        if session is None or self._is_probing():
            if is_above:
                self.abort()
        elif not session.closed and (is_above or session.strain is not None):
            self._engine.slow.note(session, added_bytes)

    def _is_direct(self) -> bool:
        return self._descriptor != direct.NOT_DIRECT

    # What a session calls

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame and wait for that of the client, for a limited time.

        If the connection was closed at once, the kernel would answer the client's last bytes with a
        reset, and the client might lose what was sent to it before.
        """
        if self._sent_close_code is not None:
            return
        self._sent_close_code = code
        self._transport.write(close_frame(code, reason))
        self._engine.add_pending_close(self)

    def abort(self) -> None:
        """Close the connection without sending what is still buffered."""
        self._transport.abort()

    def is_flushed(self) -> bool:
        """Return whether the kernel has accepted all that was sent."""
        return not self._transport.get_write_buffer_size()

    def waiting_bytes(self) -> int:
        """Return how many bytes the kernel has not accepted yet."""
        return self._transport.get_write_buffer_size()

    def is_between_messages(self) -> bool:
        """Return whether all that was read is parsed, and no message is incomplete."""
        return self.has_parsed_all() and self._parser.is_between_messages

    def detach(self) -> None:
        """Do not carry the session any more: another pod continues it, with the same client."""
        self._session = None
        self.stop_parsing()

    # What a client sends besides text packets

    def _write_pongs(self, pongs: list[bytes]) -> None:
        """Answer consecutive pings in one write, as each write is a system call."""
        if self._sent_close_code is None:
            session = self._session
            write = None if session is None or self._is_probing() else session.write
            (write or self._transport.write)(b"".join(pongs))
        pongs.clear()

    def _receive_other(self, message: Received) -> None:
        if isinstance(message, Close):
            if self._sent_close_code is None:
                self._sent_close_code = message.code
                self._transport.write(close_frame(message.code))
            elif message.code == self._sent_close_code and self._session is not None:
                # The answer repeats our code, so all that was written before it has arrived.
                # Another code is the client's own close, which crossed ours and proves nothing.
                self._engine.observer.close_acknowledged(self._session.sid)
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
            # The client's Close frame cannot be parsed any more, but its end of the stream is seen.
            self._transport.write_eof()

    def _close_transport(self) -> None:
        """Close as soon as all is sent, or when the time of a pending close is over."""
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
        assert session is not None, "checked by the caller"
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

    def upgrade(self, session: EngineSession) -> None:
        """Carry a session that has polled, with the packets that waited for its next poll."""
        waiting = [_reframe(packet) for packet in session.pop_outbox() if packet != NOOP]
        session.upgrade_probe = UpgradeProbe.NONE
        self._engine.has_upgraded(self)
        self.carry(session)
        session.wake_poll()
        if waiting:
            self._transport.write(b"".join(waiting))


def _reframe(packet: str) -> bytes:
    """Convert a packet in the encoding of long-polling into a WebSocket frame."""
    if packet.startswith("b"):
        return binary_frame(b64decode(packet[1:]))
    return text_frame(packet.encode())
