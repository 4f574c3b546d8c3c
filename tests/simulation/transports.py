"""One end of a connection as asyncio's transports are, and the pipe that leads to the other one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from tests.simulation.hosts import Host

FIN, RST = "FIN", "RST"
Piece = bytes | str
"""Bytes, or how the connection ends in this direction."""
WINDOW_BYTES = 256 * 1024
"""What kernels and proxies accept that the other end has not read yet."""
_SAMPLES = 8
_DEFAULT_HIGH = 64 * 1024


class Pipe:
    """What is under way in one direction of a connection, in order."""

    __slots__ = ("_due", "_held", "_is_held", "latency", "sink", "unread_bytes")

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self._due = 0.0
        self._is_held = False
        self._held: deque[Piece] = deque()
        self.sink: Transport
        self.unread_bytes = 0

    def send(self, piece: Piece) -> None:
        """Let a piece arrive later."""
        if self._is_held:
            self._held.append(piece)
            return
        host = self.sink.host
        due = host.universe.now + self.latency
        self._due = due = due if due > self._due else self._due + 1e-9
        host.read_at(due, self.sink.arrive, piece)

    def hold(self) -> None:
        """Let nothing arrive that is sent from now on."""
        self._is_held = True

    def release(self) -> None:
        """Let all arrive that was held."""
        self._is_held = False
        while self._held:
            self.send(self._held.popleft())

    def drop(self) -> None:
        """Lose what is held."""
        self._held.clear()


class Transport(asyncio.Transport):
    """One end of a connection. Behaves as uvloop's, where asyncio's own differ."""

    def __init__(self, host: Host, peername: tuple[str, int], pipe: Pipe) -> None:
        super().__init__({"peername": peername, "sockname": (host.address, 0)})
        self.host = host
        self.pipe = pipe
        self.protocol: Any = None
        self.sample: deque[bytes] = deque()
        self.is_lost = False
        self._peer: Transport
        self._is_closing = False
        self._is_reading = True
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._high, self._low = _DEFAULT_HIGH, _DEFAULT_HIGH // 4
        self._is_writing_paused = False
        self._inbox: deque[Piece] = deque()

    @property
    def peer(self) -> Transport:
        return self._peer

    @peer.setter
    def peer(self, peer: Transport) -> None:
        self._peer = self.pipe.sink = peer

    # Writing

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.is_lost:
            raise RuntimeError("unable to perform operation on a closed transport")
        if self._is_closing or not data:
            return
        data = bytes(data)
        if len(self.sample) < _SAMPLES:
            self.sample.append(data)
        pipe = self.pipe
        if not self._buffer and pipe.unread_bytes < WINDOW_BYTES:
            pipe.unread_bytes += len(data)
            pipe.send(data)
            return
        self._buffer.append(data)
        self._buffer_bytes += len(data)
        if self._buffer_bytes > self._high and not self._is_writing_paused:
            self._is_writing_paused = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.pipe.send(FIN)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._buffer_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _DEFAULT_HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def note_read(self, count: int) -> None:
        """Note that the other end has read: there is room for more."""
        self.pipe.unread_bytes -= count
        if self._buffer:
            self.host.call_soon(self._flush)

    def _flush(self) -> None:
        pipe = self.pipe
        while self._buffer and pipe.unread_bytes < WINDOW_BYTES:
            data = self._buffer.popleft()
            self._buffer_bytes -= len(data)
            pipe.unread_bytes += len(data)
            pipe.send(data)
        if self._is_writing_paused and self._buffer_bytes <= self._low:
            self._is_writing_paused = False
            self.protocol.resume_writing()
        if self._is_closing and not self._buffer:
            self._end(None)

    # Reading

    def begin(self) -> None:
        """Read what has arrived before there was a protocol."""
        self._read()

    def arrive(self, piece: Piece) -> None:
        """Receive a piece from the pipe."""
        if self.is_lost or self.host.is_dead:
            if type(piece) is bytes:
                self.pipe.send(RST)
            return
        if piece is RST:
            self._inbox.clear()
            self._buffer.clear()
            self._lose(ConnectionResetError(104, "Connection reset by peer"))
            return
        self._inbox.append(piece)
        if self._is_reading and not self._is_closing:
            self._read()

    def _read(self) -> None:
        inbox = self._inbox
        while inbox and self._is_reading and not self._is_closing and self.protocol is not None:
            piece = inbox.popleft()
            if piece is FIN:
                if not self.protocol.eof_received():
                    self.close()
            elif isinstance(piece, bytes):
                self._peer.note_read(len(piece))
                self.protocol.data_received(piece)

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            if self._inbox:
                self.host.call_soon(self._read)

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    # Ending

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._buffer:
                self._end(None)

    def abort(self) -> None:
        if not self.is_lost:
            self._is_closing = True
            self._buffer.clear()
            self._end(None)

    def is_closing(self) -> bool:
        return self._is_closing

    def _end(self, error: Exception | None) -> None:
        # A kernel resets a connection that is closed before all was read.
        self.pipe.send(RST if any(type(piece) is bytes for piece in self._inbox) else FIN)
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self.is_lost:
            return
        self._is_closing = True
        self._buffer_bytes = 0
        if self.protocol is None:  # not accepted yet
            self.is_lost = True
            return
        self.host.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connection_lost(error)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol
