"""Links between pods without a network: what one end writes reaches the other when a test says so.

Lives here: a transport that keeps what is written, two ends of a link, and their keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from constellation_ws.peers.link import IncomingLink, Link, OutgoingLink, Stream
from constellation_ws.peers.proof import NONCE_BYTES, Challenge, Proof, sign_proof
from constellation_ws.peers.wire import VERSION, Framed, Frames, Kind, frame

KEY = b"k" * 32
OTHER_KEY = b"o" * 32


class Line(asyncio.Transport):
    """One end of a connection. Nothing it writes goes anywhere by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.protocol: Any = None
        self.is_read = True
        self.is_aborted = False
        self.high_bytes: int | None = None
        self.unsent_bytes = 0
        """What the kernel has not taken: as a test says, since here is no kernel."""
        self._is_closing = False
        self._is_lost = False

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self.written += data

    def taken(self) -> bytes:
        """Give what was written since this was asked last."""
        if isinstance(self.protocol, Link):
            self.protocol.flush()
        data = bytes(self.written)
        self.written.clear()
        return data

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self._is_closing = self.is_aborted = True

    def is_closing(self) -> bool:
        return self._is_closing

    def lose(self) -> None:
        """End the connection, and report that once, as an event loop does."""
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def pause_reading(self) -> None:
        assert not self._is_closing
        self.is_read = False

    def resume_reading(self) -> None:
        assert not self._is_closing
        self.is_read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_bytes = high

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Heard:
    """A stream that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.lost_count = 0
        self.fullness: list[bool] = []

    def receive(self, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def lost(self) -> None:
        self.lost_count += 1

    def link_is_full(self, is_full: bool) -> None:
        self.fullness.append(is_full)


class Two:
    """Pod `a` has connected to pod `b`, and both know one key unless a test says otherwise."""

    def __init__(
        self,
        *,
        keys_of_a: Iterable[bytes] = (KEY,),
        keys_of_b: Iterable[bytes] = (KEY,),
        wanted: str = "b",
        begin: Callable[[Link, int, int, bytes], None] | None = None,
    ) -> None:
        self.refused_count = 0
        self.begun: list[tuple[int, int, bytes]] = []
        """Kind, stream and payload of what began a stream at `b`."""
        known_to_a, known_to_b = list(keys_of_a), list(keys_of_b)
        self.a = OutgoingLink("a", wanted, lambda: known_to_a)
        self.b = IncomingLink("b", lambda: known_to_b, begin or self._begin, self._refused)
        self.line_of_a, self.line_of_b = Line(), Line()
        self.line_of_a.protocol, self.line_of_b.protocol = self.a, self.b
        self.a.connection_made(self.line_of_a)
        self.b.connection_made(self.line_of_b)

    def carry(self, *, to_a: bool = True, to_b: bool = True) -> bool:
        """Carry what was written to the other end, once; say whether there was something."""
        for_b = self.line_of_a.taken() if to_b else b""
        for_a = self.line_of_b.taken() if to_a else b""
        if for_b and not self.line_of_b.is_closing():
            self.b.data_received(for_b)
        if for_a and not self.line_of_a.is_closing():
            self.a.data_received(for_a)
        return bool(for_a or for_b)

    def settle(self) -> None:
        """Carry until nothing is written any more."""
        while self.carry():
            pass

    def greet(self) -> Two:
        """Let both prove who they are."""
        self.settle()
        assert trusts(self.a)
        assert trusts(self.b)
        return self

    def open(self, stream: Stream) -> int:
        """Begin a stream at `a`."""
        return self.a.open(stream)

    def _begin(self, link: Link, kind: int, stream: int, payload: bytes) -> None:
        self.begun.append((kind, stream, payload))

    def _refused(self) -> None:
        self.refused_count += 1


def trusts(link: Link) -> bool:
    """Tell whether a link takes the other side for a pod."""
    return link.greeted.done() and link.greeted.exception() is None


def frames_of(data: bytes) -> list[Framed]:
    """Read the frames that were written."""
    frames = Frames()
    frames.trust()
    frames.feed(data)
    found = []
    while (one := frames.next()) is not None:
        found.append(one)
    return found


def challenge_of(data: bytes) -> Challenge:
    """Read the challenge that the pod that was connected to has written."""
    (first,) = frames_of(data)
    assert first.kind == Kind.CHALLENGE
    return msgspec.msgpack.decode(first.payload, type=Challenge)


def proof_for(
    challenge: Challenge,
    *,
    key: bytes = KEY,
    instance: str = "a",
    wanted: str = "b",
    nonce: bytes = b"n" * NONCE_BYTES,
) -> Proof:
    """Prove to be a pod, as right or wrong as a test wants it."""
    signature = sign_proof(key, challenge, instance, wanted, nonce)
    return Proof(instance, wanted, nonce, signature)


def proof_frame(proof: Proof) -> bytes:
    """Write a proof."""
    return frame(Kind.PROOF, 0, msgspec.msgpack.encode(proof))


def challenge_frame(nonce: bytes = b"c" * NONCE_BYTES, version: int = VERSION) -> bytes:
    """Write a challenge."""
    return frame(Kind.CHALLENGE, 0, msgspec.msgpack.encode(Challenge(version, nonce)))
