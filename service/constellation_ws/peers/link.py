"""One connection between two pods: first both prove their identity, then frames of many streams.

The owner of a stream handles its frames. A link that is silent, or whose buffer is too large, is
closed, and its streams with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Protocol, cast

import msgspec
import structlog

from constellation_ws.peers.proof import (
    NONCE_BYTES,
    Challenge,
    Proof,
    find_key,
    is_welcome,
    sign_proof,
    sign_welcome,
)
from constellation_ws.peers.wire import UNREADABLE, VERSION, Frames, Kind, frame
from constellation_ws.runtime.turns import Turn

logger = structlog.get_logger(__name__)

GREETING_SECONDS = 3.0
"""How long two pods may take to prove their identity."""
PING_SECONDS = 4.0
SILENCE_SECONDS = 12.0
"""A link without incoming data for so long is closed."""
FULL_BYTES = 1024 * 1024
"""What may be buffered before the clients of the link's streams are not read any more."""
MOST_BYTES = 64 * 1024 * 1024
"""What may be buffered at most; above it the link is closed."""

_challenge = msgspec.msgpack.Decoder(Challenge).decode
_proof = msgspec.msgpack.Decoder(Proof).decode
_encode = msgspec.msgpack.encode


class Stream(Protocol):
    """Handles the frames of one stream."""

    def receive(self, kind: int, payload: bytes) -> None:
        """Handle one frame. Must not block."""

    def lost(self) -> None:
        """Note that the link is closed."""

    def link_is_full(self, is_full: bool) -> None:
        """Note that the link's buffer is full, or not full any more."""


class Refused(ConnectionError):
    """The other side is not the expected pod, or does not accept this one."""


class Link(asyncio.Protocol):
    """One end of a connection between two pods."""

    def __init__(self, instance: str, keys: Callable[[], Iterable[bytes]]) -> None:
        """`instance` is this pod; `keys` returns those that are accepted, the one to sign with
        first."""
        self._instance = instance
        self._keys = keys
        self._frames = Frames()
        self._frames_to_send: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.streams: dict[int, Stream] = {}
        self.is_full = False
        self.last_received_at = self._loop.time()
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        """Done once both sides have proven their identity."""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is closed."""

    def send(self, kind: Kind, stream: int = 0, payload: bytes = b"") -> None:
        """Send a frame; ignored once the link is closed.

        All frames of one turn of the loop are sent in one write. A system call for each frame was a
        quarter of the cost of a storm of clients.
        """
        if not self._frames_to_send:
            self._loop.call_soon(self.flush)
        self._frames_to_send.append(frame(kind, stream, payload))

    def flush(self) -> None:
        """Send now what would be sent at the end of this turn."""
        if not self._frames_to_send:
            return
        data = b"".join(self._frames_to_send)
        self._frames_to_send.clear()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MOST_BYTES:
            logger.warning("a link to another pod takes too little and is closed")
            transport.abort()

    def release(self, stream: int) -> None:
        """Remove a stream; frames that still arrive for it are ignored."""
        self.streams.pop(stream, None)

    def abort(self) -> None:
        """Close the link at once."""
        if self._transport is not None:
            self._transport.abort()

    def check(self) -> None:
        """Send a ping, and close the link if nothing has arrived for too long."""
        if self._loop.time() - self.last_received_at > SILENCE_SECONDS:
            logger.warning("a link to another pod is silent and is closed")
            self.abort()
        else:
            self.send(Kind.PING)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = opened = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        opened.set_write_buffer_limits(high=FULL_BYTES)
        self.send_first()

    def data_received(self, data: bytes) -> None:
        self.last_received_at = self._loop.time()
        self._frames.feed(data)
        self._process_frames()

    def pause_writing(self) -> None:
        self._note_full(True)

    def resume_writing(self) -> None:
        self._note_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if not self.greeted.done():
            self.greeted.set_exception(Refused("the connection was closed"))
            self.greeted.exception()  # retrieved here, as not all callers wait for it
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.lost()

    # Inside

    def send_first(self) -> None:
        """Send the first frame, if this side does."""

    def greet(self, kind: int, payload: bytes) -> None:
        """Handle a frame of the greeting. Raises Refused, or one of UNREADABLE."""
        raise NotImplementedError

    def begin_stream(self, kind: int, stream: int, payload: bytes) -> None:
        """Handle the first frame of a new stream."""

    def trust(self) -> None:
        """Note that the other side has proven its identity."""
        self._frames.trust()
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _note_full(self, is_full: bool) -> None:
        self.is_full = is_full
        for stream in list(self.streams.values()):
            stream.link_is_full(is_full)

    def _process_frames(self) -> None:
        turn = Turn()
        transport = self._transport
        assert transport is not None, "connected"
        try:
            while not transport.is_closing() and (one := self._frames.next()) is not None:
                self._receive(*one)
                if turn.is_over:
                    transport.pause_reading()
                    self._loop.call_soon(self._go_on)
                    return
        except (Refused, *UNREADABLE) as error:
            self._refuse(error)

    def _go_on(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
            self._process_frames()

    def _receive(self, kind: int, stream: int, payload: bytes) -> None:
        if not self.greeted.done():
            self.greet(kind, payload)
        elif kind == Kind.PING:
            self.send(Kind.PONG)
        elif stream in self.streams:
            self.streams[stream].receive(kind, payload)
        elif stream:
            self.begin_stream(kind, stream, payload)

    def _refuse(self, error: Exception) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(Refused(str(error)))
            self.greeted.exception()
        else:
            logger.warning("a link to another pod is closed", error=str(error))
        self.flush()
        self.abort()


class OutgoingLink(Link):
    """The side that has connected. It numbers the streams."""

    def __init__(self, instance: str, wanted: str, keys: Callable[[], Iterable[bytes]]) -> None:
        """`wanted` is the instance of the expected pod."""
        super().__init__(instance, keys)
        self._wanted = wanted
        self._key = b""
        self._sent: tuple[Challenge, Proof] | None = None
        self._last = 0

    def open(self, stream: Stream) -> int:
        """Begin a stream, and return its number. It is lost, soon, where the link has closed."""
        if self.closed.done():
            self._loop.call_soon(stream.lost)
        self._last = self._last % 0xFFFF_FFFF + 1
        while self._last in self.streams:
            self._last = self._last % 0xFFFF_FFFF + 1
        self.streams[self._last] = stream
        return self._last

    def greet(self, kind: int, payload: bytes) -> None:
        if kind == Kind.CHALLENGE and self._sent is None:
            challenge = _challenge(payload)
            key = next(iter(self._keys()), None)
            if challenge.version != VERSION or len(challenge.nonce) != NONCE_BYTES or key is None:
                raise Refused("another version, or no key is known")
            nonce = os.urandom(NONCE_BYTES)
            signature = sign_proof(key, challenge, self._instance, self._wanted, nonce)
            proof = Proof(self._instance, self._wanted, nonce, signature)
            self._key, self._sent = key, (challenge, proof)
            self.send(Kind.PROOF, 0, _encode(proof))
        elif kind == Kind.WELCOME and self._sent and is_welcome(self._key, *self._sent, payload):
            self.trust()
        else:
            raise Refused("it has not proven to be a pod of this deployment")


class IncomingLink(Link):
    """The side that was connected to. It serves nothing before the greeting is complete."""

    def __init__(
        self,
        instance: str,
        keys: Callable[[], Iterable[bytes]],
        begin: Callable[[Link, int, int, bytes], None],
        count_refused: Callable[[], None],
    ) -> None:
        """`begin` is called with the first frame of each stream: link, kind, stream, payload."""
        super().__init__(instance, keys)
        self._challenge = Challenge(VERSION, os.urandom(NONCE_BYTES))
        self._begin = begin
        self._count_refused = count_refused
        self._timer = self._loop.call_later(GREETING_SECONDS, self._time_out)

    def send_first(self) -> None:
        self.send(Kind.CHALLENGE, 0, _encode(self._challenge))

    def greet(self, kind: int, payload: bytes) -> None:
        proof = _proof(payload) if kind == Kind.PROOF else None
        key = None
        if proof is not None and proof.wanted == self._instance:
            key = find_key(self._keys(), self._challenge, proof)
        if proof is None or key is None:
            raise Refused("not a pod of this deployment")
        self.send(Kind.WELCOME, 0, sign_welcome(key, self._challenge, proof))
        self._timer.cancel()
        self.trust()

    def begin_stream(self, kind: int, stream: int, payload: bytes) -> None:
        self._begin(self, kind, stream, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _refuse(self, error: Exception) -> None:
        if not self.greeted.done():
            self._count_refused()  # for any reason: a wrong proof, or another protocol
        super()._refuse(error)

    def _time_out(self) -> None:
        if not self.greeted.done():
            self._count_refused()
            self.abort()
