"""A WebSocket on one pod whose session is on another: the bytes go through, both ways, in order.

`Entrance` is where the client is, `Exit` where the session is, and stands there for the client's
transport. A tunnel lasts until the session has moved to the entrance; where it cannot move, as long
as the WebSocket does.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Protocol

from constellation_ws.peers.link import Link, OutgoingLink
from constellation_ws.peers.wire import Kind

OPEN_SECONDS = 5.0
"""How long the pod of a session may take to let a WebSocket shake hands."""
OFFER_SECONDS = 5.0
"""How long the entrance may take to say whether it takes a session."""
_WAITING_BYTES = 64 * 1024
"""What a client may send before its handshake is answered; nobody has a reason to."""


class Arrivals(Protocol):
    """Who takes the sessions that move here."""

    def expect(self, offer: bytes, answer: Callable[[bool], None]) -> int:
        """Say, soon, whether a session can go on here. Returns what `take` is to be given."""

    def take(
        self, session: bytes, expected: int, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Let a session go on here, with this transport, which is not read now. Never waits.

        `early` are bytes that were read of it already.
        """


class Entrance(asyncio.Protocol):
    """The client's end."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        welcome: bytes,
        refuse: Callable[[str], bytes],
        arrivals: Arrivals,
        closed: Callable[[Entrance], None],
        max_waiting_bytes: int,
    ) -> None:
        """`welcome` answers the handshake; `refuse` makes the answer for the code of a refusal.

        `closed` is called once the tunnel is no more.
        """
        self._transport = transport
        self._welcome = welcome
        self._refuse = refuse
        self._arrivals = arrivals
        self._closed = closed
        self._link: OutgoingLink | None = None
        self._stream = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        self._has_left = False
        """Whether the client has gone, and the other end is about to learn of it."""
        self._early = b""
        self._offers = 0
        """How often the session was offered, which both ends count: answers name the number."""
        self._is_offered = False
        self._expected = 0
        self._held = {"opening"}
        """Why the client is not read now."""
        transport.set_write_buffer_limits(high=max_waiting_bytes, low=max_waiting_bytes)
        transport.pause_reading()

    def open(self, link: OutgoingLink, opening: bytes) -> None:
        """Ask the pod that holds the session."""
        if self._transport.is_closing():
            self.refuse("gone")
            return
        self._link = link
        if link.is_full:
            self._held.add("link")
        self._stream = link.open(self)
        link.send(Kind.OPEN, self._stream, opening)
        self._timer = asyncio.get_running_loop().call_later(OPEN_SECONDS, self._give_up)

    def refuse(self, code: str) -> None:
        """Answer the handshake with a refusal."""
        self._leave_link()
        self._closed(self)
        if not self._transport.is_closing():
            self._transport.write(self._refuse(code))
            self._transport.close()

    def close_session(self) -> None:
        """Have the session closed as a drain does: this pod is about to stop."""
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
        """Hang up: half a WebSocket is none."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so, and keep the stream until that is answered: the session may be on its way."""
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
                self.refuse(payload.decode())
            case Kind.HOLD:
                self._hold("session")
            case Kind.GO_ON:
                self._read_on("session")
            case Kind.OFFER:
                self._take_offer(payload)
            case Kind.KEEP:
                self._is_offered = False
                self._read_on("offer")
            case Kind.SESSION:
                self._hand_over(payload)
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
            self.refuse("unknown_session")

    def link_is_full(self, is_full: bool) -> None:
        (self._hold if is_full else self._read_on)("link")

    # Inside

    def _send(self, kind: Kind, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.send(kind, self._stream, payload)

    def _take_offer(self, offer: bytes) -> None:
        self._offers += 1
        self._is_offered = True
        self._hold("offer")
        answer = functools.partial(self._answer_offer, self._offers)
        self._expected = self._arrivals.expect(offer, answer)

    def _answer_offer(self, number: int, is_taken: bool) -> None:
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

    def _hand_over(self, session: bytes) -> None:
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
            self.refuse("unknown_session")

    def _leave_link(self) -> None:
        self._cancel_timer()
        link, self._link = self._link, None
        if link is not None:
            link.release(self._stream)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Exit(asyncio.Transport):
    """The session's end: what a WebSocket is written to, and read from."""

    def __init__(self, link: Link, stream: int, close_session: Callable[[], None]) -> None:
        """`close_session` is called where the other pod is about to stop."""
        super().__init__()
        self._link = link
        self._stream = stream
        self._close_session = close_session
        self._protocol: Any = None
        self._is_started = self._is_closing = self._is_lost = self._is_full = False
        self._waiting = bytearray()
        """What is written while the client takes no more."""
        self._offers = 0
        self._offered: asyncio.Future[bool] | None = None
        link.streams[stream] = self

    def start(self, protocol: asyncio.Protocol) -> None:
        """Let the client's handshake succeed, and what was written until now follow it."""
        self._protocol = protocol
        self._is_started = True
        self._link.send(Kind.ACCEPT, self._stream)
        self._flush()

    def refuse(self, code: str) -> None:
        """Let the client's handshake fail."""
        self._is_closing = self._is_lost = True
        self._link.send(Kind.REFUSE, self._stream, code.encode())
        self._link.release(self._stream)

    async def offer(self, offer: bytes) -> bool:
        """Ask whether the session may move. Where it may, nothing more comes until `keep`."""
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
        """Go on as before."""
        self._link.send(Kind.KEEP, self._stream)

    def hand_over(self, session: bytes) -> None:
        """Give the session away; this end is no more."""
        self._flush()
        self._is_closing = self._is_lost = True
        self._protocol = None
        self._link.send(Kind.SESSION, self._stream, session)
        self._link.release(self._stream)

    # What asyncio promises of a transport

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
        """The client's end of the stream is awaited in any case."""

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
        """The client's transport has them, at the other end."""

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
        """What waits for one client is bounded where it is written; the link bounds all of it."""

    def _flush(self) -> None:
        if self._waiting:
            self._link.send(Kind.DATA, self._stream, bytes(self._waiting))
            self._waiting.clear()
