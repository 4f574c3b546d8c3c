"""The session's end of a tunnel: a transport for a WebSocket that has arrived at another pod.

Its bytes go through a stream of a peer link, both ways and in order, to a `tunnel_entrance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from constellation_ws.peers.link import Link
from constellation_ws.peers.wire import Kind

OFFER_SECONDS = 5.0
"""How long the entrance may take to answer the offer of a session."""


class TunnelExit(asyncio.Transport):
    """The session's end of a tunnel: the transport of its WebSocket."""

    def __init__(self, link: Link, stream: int, close_session: Callable[[], None]) -> None:
        """`close_session` is called when the other pod stops."""
        super().__init__()
        self._link = link
        self._stream = stream
        self._close_session = close_session
        self._protocol: Any = None
        self._is_started = self._is_closing = self._is_lost = self._is_full = False
        self._waiting = bytearray()
        """What is written while the buffer for the client is full."""
        self._offers = 0
        self._offered: asyncio.Future[bool] | None = None
        link.streams[stream] = self

    def start(self, protocol: asyncio.Protocol) -> None:
        """Accept the client's handshake, and send what was written until now."""
        self._protocol = protocol
        self._is_started = True
        self._link.send(Kind.ACCEPT, self._stream)
        self._flush()

    def refuse(self) -> None:
        """Refuse the client's handshake: its session is unknown."""
        self._is_closing = self._is_lost = True
        self._link.send(Kind.REFUSE, self._stream)
        self._link.release(self._stream)

    async def offer(self, offer: bytes) -> bool:
        """Ask whether the session may move. If so, no bytes of the client arrive until `keep`."""
        self._offers += 1
        self._offered = offered = asyncio.get_running_loop().create_future()
        self._link.send(Kind.OFFER, self._stream, offer)
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                return bool(await offered)
        except TimeoutError:
            self.keep()
            return False
        finally:
            self._offered = None

    def keep(self) -> None:
        """Withdraw the offer: the session stays."""
        self._link.send(Kind.KEEP, self._stream)

    def send_session(self, session: bytes) -> None:
        """Send the session to the other pod. This end is closed."""
        self._flush()
        self._is_closing = self._is_lost = True
        self._protocol = None
        self._link.send(Kind.SESSION, self._stream, session)
        self._link.release(self._stream)

    # The interface of an asyncio transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def write(self, data: Any) -> None:
        if self._is_closing:
            return
        if self._is_full or not self._is_started:
            self._waiting += data
        else:
            self._link.send(Kind.DATA, self._stream, bytes(data))

    def write_eof(self) -> None:
        """Not needed: the client's end of the stream is waited for in any case."""

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._flush()
            self._is_closing = True
            self._link.send(Kind.END, self._stream)

    def abort(self) -> None:
        if not self._is_lost:
            self._is_closing = True
            self._link.send(Kind.ABORT, self._stream)
            asyncio.get_running_loop().call_soon(self.lost)

    def pause_reading(self) -> None:
        self._link.send(Kind.HOLD, self._stream)

    def resume_reading(self) -> None:
        self._link.send(Kind.GO_ON, self._stream)

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Not needed: the client's transport at the other end has limits."""

    # What the link calls

    def receive(self, kind: int, payload: bytes) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        match kind:
            case Kind.DATA:
                protocol.data_received(payload)
            case Kind.END:
                self._link.send(Kind.END, self._stream)
                self.lost()
            case Kind.FULL:
                self._is_full = True
                protocol.pause_writing()
            case Kind.DRAINED:
                self._is_full = False
                self._flush()
                protocol.resume_writing()
            case Kind.TAKE | Kind.DECLINE if payload == b"%d" % self._offers:
                if self._offered is not None and not self._offered.done():
                    self._offered.set_result(kind == Kind.TAKE)
            case Kind.CLOSE:
                self._close_session()

    def lost(self) -> None:
        self._link.release(self._stream)
        if self._is_lost:
            return
        self._is_closing = self._is_lost = True
        if self._offered is not None and not self._offered.done():
            self._offered.set_result(False)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(None)

    def link_is_full(self, is_full: bool) -> None:
        """Not needed: the buffer of each client is limited where it is written."""

    def _flush(self) -> None:
        if self._waiting:
            self._link.send(Kind.DATA, self._stream, bytes(self._waiting))
            self._waiting.clear()
