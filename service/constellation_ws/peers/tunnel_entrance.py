"""The client's end of a tunnel: a WebSocket whose session another pod holds.

Its bytes go through a stream of a peer link, both ways and in order, to a `tunnel_exit`. The tunnel
lasts until the session has moved here; if it cannot move, as long as the WebSocket.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Protocol

from constellation_ws.peers.link import OutgoingLink
from constellation_ws.peers.wire import Kind

OPEN_SECONDS = 5.0
"""How long the pod that holds the session may take to accept the WebSocket."""
_WAITING_BYTES = 64 * 1024
"""What a client may send before its handshake is answered; no client has a reason to."""


class Arrivals(Protocol):
    """Receives the sessions that move here."""

    def expect(self, offer: bytes, reply: Callable[[bool], None]) -> int:
        """Reply, soon, whether a session may move here. Returns an argument of `take`."""

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Continue a session here, with this transport, whose reading is paused. Must not block.

        `early` are bytes that were already read from it.
        """


class TunnelEntrance(asyncio.Protocol):
    """The client's end of a tunnel."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        welcome: bytes,
        refusal: Callable[[], bytes],
        arrivals: Arrivals,
        closed: Callable[[TunnelEntrance], None],
        max_waiting_bytes: int,
    ) -> None:
        """`welcome` is the response to the handshake; `refusal` is called for it if it is refused.

        `closed` is called once the tunnel is closed.
        """
        self._transport = transport
        self._welcome = welcome
        self._refusal = refusal
        self._arrivals = arrivals
        self._closed = closed
        self._link: OutgoingLink | None = None
        self._stream = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        self._has_left = False
        """Whether the client has disconnected, which the other end is told by END."""
        self._early = b""
        self._offers = 0
        """Number of offers of the session. Both ends count it, and replies name it."""
        self._is_offered = False
        self._expected = 0
        self._held = {"opening"}
        """Reasons why the client is not read now."""
        transport.set_write_buffer_limits(high=max_waiting_bytes, low=max_waiting_bytes)
        transport.pause_reading()

    def open(self, link: OutgoingLink, opening: bytes) -> None:
        """Send the opening to the pod that holds the session."""
        if self._transport.is_closing():
            self.refuse()
            return
        self._link = link
        if link.is_full:
            self._held.add("link")
        self._stream = link.open(self)
        link.send(Kind.OPEN, self._stream, opening)
        self._timer = asyncio.get_running_loop().call_later(OPEN_SECONDS, self._give_up)

    def refuse(self) -> None:
        """Refuse the handshake: the session is unknown."""
        self._leave_link()
        self._closed(self)
        if not self._transport.is_closing():
            self._transport.write(self._refusal())
            self._transport.close()

    def close_session(self) -> None:
        """Have the session closed as a drain does: this pod stops."""
        self._send(Kind.CLOSE)

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        if self._is_open and not self._held:
            self._send(Kind.DATA, data)
            return
        self._early += data  # read before the pause took effect
        if len(self._early) > _WAITING_BYTES:
            self._transport.abort()

    def eof_received(self) -> None:
        """Close: a WebSocket cannot be half-closed."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Send END, and keep the stream until the reply: the session may be on its way here."""
        self._has_left = True
        self._send(Kind.END)
        self._cancel_timer()
        self._closed(self)

    def pause_writing(self) -> None:
        self._send(Kind.FULL)

    def resume_writing(self) -> None:
        self._send(Kind.DRAINED)

    # What the link calls

    def receive(self, kind: int, payload: bytes) -> None:
        match kind:
            case Kind.DATA:
                self._write(payload)
            case Kind.ACCEPT:
                self._is_open = True
                self._write(self._welcome)
                self._read_on("opening")
            case Kind.REFUSE:
                self.refuse()
            case Kind.HOLD:
                self._hold("session")
            case Kind.GO_ON:
                self._read_on("session")
            case Kind.OFFER:
                self._receive_offer(payload)
            case Kind.KEEP:
                self._is_offered = False
                self._read_on("offer")
            case Kind.SESSION:
                self._receive_session(payload)
            case Kind.END if self._has_left:
                self._leave_link()
            case Kind.END:
                self._transport.close()  # which `connection_lost` answers, and ABORT hurries
            case Kind.ABORT:
                self._leave_link()
                self._transport.abort()

    def lost(self) -> None:
        if self._is_open:
            self._leave_link()
            self._transport.abort()
        else:
            self.refuse()

    def link_is_full(self, is_full: bool) -> None:
        (self._hold if is_full else self._read_on)("link")

    # Inside

    def _send(self, kind: Kind, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.send(kind, self._stream, payload)

    def _receive_offer(self, offer: bytes) -> None:
        self._offers += 1
        self._is_offered = True
        self._hold("offer")
        reply = functools.partial(self._reply_to_offer, self._offers)
        self._expected = self._arrivals.expect(offer, reply)

    def _reply_to_offer(self, number: int, is_taken: bool) -> None:
        if number != self._offers or not self._is_offered:
            return  # it was withdrawn meanwhile
        said = b"%d" % number
        if is_taken:
            self._send(Kind.TAKE, said)
        else:
            self._is_offered = False
            self._send(Kind.DECLINE, said)
            self._read_on("offer")

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _receive_session(self, session: bytes) -> None:
        self._leave_link()
        self._closed(self)
        self._arrivals.take(session, self._expected, self._transport, self._early)

    def _hold(self, reason: str) -> None:
        self._held.add(reason)
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _read_on(self, reason: str) -> None:
        self._held.discard(reason)
        if self._held or not self._is_open or self._transport.is_closing():
            return
        if self._early:
            early, self._early = self._early, b""
            self._send(Kind.DATA, early)
        self._transport.resume_reading()

    def _give_up(self) -> None:
        if not self._is_open:
            self._send(Kind.END)
            self.refuse()

    def _leave_link(self) -> None:
        self._cancel_timer()
        link, self._link = self._link, None
        if link is not None:
            link.release(self._stream)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
