"""One connection between two pods: who is there is proven first, then frames of many streams.

What the frames of a stream mean is known to whoever owns it. A link that is silent, or that takes
too little of what is sent to it, is of no use and ends; its streams end with it.
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
"""How long two pods may take to prove who they are."""
PING_SECONDS = 4.0
SILENCE_SECONDS = 12.0
"""A link on which nothing has come for so long is lost, whatever the kernel says of it."""
FULL_BYTES = 1024 * 1024
"""What may wait to be sent before clients are no longer read for it."""
MOST_BYTES = 64 * 1024 * 1024
"""What may wait at most; then the other pod is taken for dead."""

_challenge = msgspec.msgpack.Decoder(Challenge).decode
_proof = msgspec.msgpack.Decoder(Proof).decode
_encode = msgspec.msgpack.encode


class Stream(Protocol):
    """Who takes the frames of one stream."""

    def receive(self, kind: int, payload: bytes) -> None:
        """Take one frame. Never waits."""

    def lost(self) -> None:
        """Take note that the link is gone."""

    def link_is_full(self, is_full: bool) -> None:
        """Take note that the link takes no more for now, or takes more again."""


class Refused(ConnectionError):
    """The other side is not the pod that was meant, or does not take this one for a pod."""


class Link(asyncio.Protocol):
    """One connection. Made by the pod that connects, and by the one that is connected to."""

    def __init__(self, instance: str, keys: Callable[[], Iterable[bytes]]) -> None:
        """`instance` is this pod; `keys` gives those that count now, the one to sign with first."""
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
        """Done once both sides are known to be pods of the deployment."""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""

    def send(self, kind: Kind, stream: int = 0, payload: bytes = b"") -> None:
        """Send a frame; nothing happens once the link is gone.

        What one turn of the loop sends leaves in one write: a system call for each frame was a
        quarter of what a storm of clients costs.
        """
        if not self._frames_to_send:
            self._loop.call_soon(self.flush)
        self._frames_to_send.append(frame(kind, stream, payload))

    def flush(self) -> None:
        """Send now what is to be sent at the end of this turn."""
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
        """Forget a stream; what still comes for it is ignored."""
        self.streams.pop(stream, None)

    def abort(self) -> None:
        """End the link."""
        if self._transport is not None:
            self._transport.abort()

    def check(self) -> None:
        """Ask for a sign of life, and end the link where there was none for too long."""
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
            self.greeted.exception()  # whoever waits sees it; nobody has to
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.lost()

    # Inside

    def send_first(self) -> None:
        """Say what this side says first, if anything."""

    def greet(self, kind: int, payload: bytes) -> None:
        """Take a frame of the greeting. Raises Refused, or what is UNREADABLE."""
        raise NotImplementedError

    def begin_stream(self, kind: int, stream: int, payload: bytes) -> None:
        """Take the first frame of a stream that is not known."""

    def trust(self) -> None:
        """Note that the other side has proven to be a pod."""
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
    """The side that connects, and numbers the streams."""

    def __init__(self, instance: str, wanted: str, keys: Callable[[], Iterable[bytes]]) -> None:
        """`wanted` is the pod that should be there."""
        super().__init__(instance, keys)
        self._wanted = wanted
        self._key = b""
        self._sent: tuple[Challenge, Proof] | None = None
        self._last = 0

    def open(self, stream: Stream) -> int:
        """Begin a stream, and give its number."""
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
    """The side that is connected to. Nothing is done for who has not proven to be a pod."""

    def __init__(
        self,
        instance: str,
        keys: Callable[[], Iterable[bytes]],
        begin: Callable[[Link, int, int, bytes], None],
        count_refused: Callable[[], None],
    ) -> None:
        """`begin` takes the first frame of each stream: link, kind, stream, payload."""
        super().__init__(instance, keys)
        self._challenge = Challenge(VERSION, os.urandom(NONCE_BYTES))
        self._begin = begin
        self._count_refused = count_refused
        self._timer = self._loop.call_later(GREETING_SECONDS, self._give_up)

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
            self._count_refused()  # whatever it said: a wrong proof, or another protocol
        super()._refuse(error)

    def _give_up(self) -> None:
        if not self.greeted.done():
            self._count_refused()
            self.abort()
